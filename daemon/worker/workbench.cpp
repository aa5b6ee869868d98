#include "daemon/worker/workbench.h"

#include <optional>
#include <utility>

#include "daemon/worker/attempts.h"
#include "daemon/worker/bench_memory.h"
#include "daemon/worker/bench_workers.h"
#include "daemon/worker/build_lanes.h"
#include "daemon/worker/check_candidate.h"
#include "daemon/worker/measure_subjects.h"
#include "daemon/worker/probe_node.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

class NodeWorkbench : public agents::Workbench {
 public:
  NodeWorkbench(const BenchOptions& options, ObjectSource& objects) : workers_(options, objects) {}

  agents::NodeFacts probe(agents::Probing how) override {
    BenchMemory* const memory = workers_.options().memory.get();
    if (memory && how == agents::Probing::recent)
      if (auto found = memory->probe(kind_of_probe())) return std::move(*found);
    agents::NodeFacts facts = attempted([&] { return probe_node(workers_); },
                                        [](const Stopped& stopped) -> agents::NodeFacts {
                                          throw unavailable("measure the node", "probe", stopped.evidence);
                                        });
    if (memory) memory->keep_probe(kind_of_probe(), facts);
    return facts;
  }

  std::vector<agents::BuildFact> build(std::span<const agents::BuildRequest> requests) override {
    return BuildLanes(workers_).build(requests);
  }

  agents::CheckFact check(const agents::CheckRequest& request) override {
    return attempted([&] { return check_candidate(workers_, request); },
                     [](const Stopped& stopped) {
                       return agents::CheckFact{agents::Verdict::crashed, stopped.evidence, {}, true};
                     });
  }

  agents::SampleFact measure(const agents::MeasureRequest& request) override {
    return measure_subjects(workers_, request);
  }

  double joules() override {
    const std::uint64_t now = attempted([&] { return workers_.microjoules(); },
                                        [](const Stopped& stopped) -> std::uint64_t {
                                          throw unavailable("read the energy", "run", stopped.evidence);
                                        });
    const std::uint64_t before = std::exchange(counted_uj_, now).value_or(now);
    return 1e-6 * static_cast<double>(now - before);
  }

 private:
  // What decides what a probe finds, beside the node.
  [[nodiscard]] std::string kind_of_probe() const {
    const BenchOptions& options = workers_.options();
    return options.target + " " + std::to_string(options.threads) + " " + std::to_string(options.cores);
  }

  BenchWorkers workers_;
  std::optional<std::uint64_t> counted_uj_;  // of which joules() has told
};

}  // namespace

std::unique_ptr<agents::Workbench> make_workbench(const BenchOptions& options, ObjectSource& objects) {
  if (options.target != "cpu" && options.target != "cuda")
    throw Error(ErrorCode::invalid_input,
                "cannot make a bench for target '" + options.target + "': it is cpu or cuda");
  return std::make_unique<NodeWorkbench>(options, objects);
}

std::vector<std::string> sandbox_mechanisms(const BenchOptions& options) {
  WorkerProcess worker({options.worker, "run", {options.staging.string()}});
  return json::get_strings(worker.hello(), "sandbox", "a worker's hello");
}

}  // namespace kiln::worker
