#include "daemon/kilnd/bench.h"

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
  StoreBench(const JobEnvironment& env, const std::string& job, const std::string& target)
      : objects_(env.store),
        bench_(
            worker::make_workbench({env.worker, env.include_dir, env.store.directory() / "staging" / ("bench-" + job),
                                    env.default_policy.threads, target, env.gpu_libraries},
                                   objects_)) {}
  agents::NodeFacts probe() override { return bench_->probe(); }
  std::vector<agents::BuildFact> build(std::span<const agents::BuildRequest> requests) override {
    return bench_->build(requests);
  }
  agents::CheckFact check(const agents::CheckRequest& request) override { return bench_->check(request); }
  agents::SampleFact measure(const agents::MeasureRequest& request) override { return bench_->measure(request); }

 private:
  StoreObjects objects_;
  std::unique_ptr<agents::Workbench> bench_;
};

}  // namespace

std::unique_ptr<agents::Workbench> make_bench(const JobEnvironment& env, const std::string& job,
                                              const std::string& target) {
  return std::make_unique<StoreBench>(env, job, target);
}

}  // namespace kiln::kilnd
