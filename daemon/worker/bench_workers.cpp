#include "daemon/worker/bench_workers.h"

#include "daemon/worker/guard_exit.h"
#include "runtime/base/json.h"

namespace kiln::worker {

using agents::Verdict;

BenchWorkers::BenchWorkers(const BenchOptions& options, ObjectSource& objects)
    : options_(options),
      objects_(objects),
      staging_(options.staging, objects),
      oracle_(options.worker, objects) {}

Launch BenchWorkers::launch_of(const std::string& role, std::vector<std::string> arguments) const {
  return {options_.worker, gpu() ? role + "-" + options_.target : role, std::move(arguments),
          gpu() ? options_.library_path : ""};
}

WorkerProcess& BenchWorkers::run_worker() {
  if (!run_ || !run_->alive())
    run_ = std::make_unique<WorkerProcess>(launch_of("run", {staging_.root().string()}));
  return *run_;
}

std::optional<RunFailure> run_failure_of(const Answer& answer) {
  if (answer.kind == Answer::Kind::hung) return RunFailure{Verdict::hung, answer.evidence, false};
  if (const auto touch = answer.kind == Answer::Kind::crashed ? guard_touch_of(answer.status) : std::nullopt)
    return RunFailure{Verdict::out_of_bounds, describe(*touch), false};
  if (answer.kind == Answer::Kind::crashed)
    return RunFailure{answer.forbidden ? Verdict::forbidden : Verdict::crashed, answer.evidence, false};
  struct Outcome {
    const char* key;
    Verdict verdict;
    bool tainted;
  };
  static constexpr Outcome outcomes[] = {
      {"faulted", Verdict::crashed,
       true},  // what a GPU's context does not survive, its process does not either
      {"refused", Verdict::launch_failed, false},
      {"forbidden", Verdict::forbidden, true},  // what it started may still be running there
      {"unstable", Verdict::nondeterministic, false},
  };
  for (const Outcome& outcome : outcomes)
    if (const auto why = json::find_string(answer.frame.body, outcome.key, "a run reply"))
      return RunFailure{outcome.verdict, *why, outcome.tainted};
  return std::nullopt;
}

}  // namespace kiln::worker
