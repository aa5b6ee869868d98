#include "daemon/kilnd/bench.h"

#include <algorithm>

#include "daemon/targets/cpu/detect.h"
#include "daemon/worker/workbench.h"

namespace kiln::kilnd {
namespace {

class StoreObjects : public worker::ObjectSource {
 public:
  explicit StoreObjects(store::Store& store) : store_(store) {}
  std::string put(std::string_view bytes) override { return store_.put_blob(bytes); }
  [[nodiscard]] std::filesystem::path path(const std::string& digest) const override {
    return store_.blob_path(digest);
  }

 private:
  store::Store& store_;
};

// Keeps the object source beside the bench that refers to it.
class StoreBench : public agents::Workbench {
 public:
  StoreBench(const JobEnvironment& env, const std::string& job, const std::string& target,
             const policies::Policy& policy)
      : objects_(env.store), bench_(worker::make_workbench(options(env, job, target, policy), objects_)) {}
  agents::NodeFacts probe(agents::Probing how) override { return bench_->probe(how); }
  std::vector<agents::BuildFact> build(std::span<const agents::BuildRequest> requests) override {
    return bench_->build(requests);
  }
  agents::CheckFact check(const agents::CheckRequest& request) override { return bench_->check(request); }
  agents::SampleFact measure(const agents::MeasureRequest& request) override { return bench_->measure(request); }
  double joules() override { return bench_->joules(); }

 private:
  static worker::BenchOptions options(const JobEnvironment& env, const std::string& job, const std::string& target,
                                      const policies::Policy& policy) {
    worker::BenchOptions out;
    out.worker = env.worker;
    out.include_dir = env.include_dir;
    out.staging = env.store.directory() / "staging" / ("bench-" + job);
    out.threads = policy.threads;
    out.cores = shared_cores(targets::cpu::detect().cores, policy.share);
    out.target = target;
    out.library_path = env.gpu_libraries;
    out.memory = env.bench_memory;
    return out;
  }

  StoreObjects objects_;
  std::unique_ptr<agents::Workbench> bench_;
};

}  // namespace

std::unique_ptr<agents::Workbench> make_bench(const JobEnvironment& env, const std::string& job,
                                              const std::string& target, const policies::Policy& policy) {
  return std::make_unique<StoreBench>(env, job, target, policy);
}

std::int32_t shared_cores(std::int32_t usable, double share) {
  if (share >= 1) return 0;
  return std::max(1, static_cast<std::int32_t>(share * usable));
}

}  // namespace kiln::kilnd
