#include "daemon/kilnd/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "daemon/targets/cpu/detect.h"
#include "daemon/worker/bench_workers.h"
#include "daemon/worker/workbench.h"
#include "runtime/base/error.h"

namespace kiln::kilnd {
namespace {

class StoreObjects : public worker::ObjectSource {
 public:
  StoreObjects(store::Store& store, store::ObjectCache* cache) : store_(store), cache_(cache) {}
  std::string put(std::string_view bytes) override { return store_.put_blob(bytes); }
  [[nodiscard]] std::filesystem::path path(const std::string& digest) const override {
    return store_.blob_path(digest);
  }
  [[nodiscard]] bool caches() const override { return cache_ != nullptr; }
  [[nodiscard]] std::optional<worker::KnownObject> find(const std::string& recipe) override {
    std::optional<store::CachedObject> found = cache_->find(recipe);
    if (!found) return std::nullopt;
    return worker::KnownObject{std::move(found->about), std::move(found->object)};
  }
  void keep(const std::string& recipe, const worker::KnownObject& built) override {
    try {
      cache_->keep(recipe, {built.about, built.object});
    } catch (const Error&) {
      // A full disk costs later jobs time; this one has its object. The store says what to free when it is full too.
    }
  }

 private:
  store::Store& store_;
  store::ObjectCache* const cache_;
};

// Keeps the object source beside the bench that refers to it.
class StoreBench : public agents::Workbench {
 public:
  StoreBench(const JobEnvironment& env, const std::string& job, const std::string& target,
             const policies::Policy& policy)
      : objects_(env.store, env.objects), bench_(worker::make_workbench(options(env, job, target, policy), objects_)) {}
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
    out.ordinal = env.gpu;
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

std::string gpu_toolchain(const JobEnvironment& env) {
  static std::atomic<unsigned> asked = 0;  // requests that ask at once have a folder each
  StoreObjects objects(env.store, nullptr);
  worker::BenchOptions options;
  options.worker = env.worker;
  options.include_dir = env.include_dir;
  options.staging = env.store.directory() / "staging" / fmt::format("toolchain-{}", asked++);
  options.target = "cuda";
  options.library_path = env.gpu_libraries;
  return worker::BenchWorkers(options, objects).toolchain(true, {});
}

std::int32_t shared_cores(std::int32_t usable, double share) {
  if (share >= 1) return 0;
  return std::max(1, static_cast<std::int32_t>(share * usable));
}

}  // namespace kiln::kilnd
