#include "daemon/worker/bench_workers.h"

#include <algorithm>
#include <thread>

#include "daemon/targets/cuda/oracle/kernels.h"
#include "daemon/worker/attempts.h"
#include "daemon/worker/guard_exit.h"
#include "daemon/worker/own_kernels.h"
#include "runtime/base/json.h"

namespace kiln::worker {

using agents::Verdict;

namespace {

constexpr std::int64_t kEnergyNs = 20 * kSecond;  // a driver may have to start
constexpr std::int64_t kToolchainNs = 30 * kSecond;

}  // namespace

BenchWorkers::BenchWorkers(const BenchOptions& options, ObjectSource& objects)
    : options_(options),
      objects_(objects),
      staging_(options.staging, objects),
      oracle_(oracle_launch(), objects, [this](const std::string& architecture) {
        if (oracle_kernels_.empty())
          oracle_kernels_ = build_own_kernels(*this, "oracle.cu", targets::cuda::oracle::kernels_source(),
                                              targets::cuda::oracle::kernels_flags(), architecture,
                                              "compute the expected outputs on the GPU", true);
        return oracle_kernels_;
      }),
      rapl_(options.powercap) {}

// Of a GPU's bench it has the GPU too, in a context of its own: no candidate's kernel reaches its memory.
Launch BenchWorkers::oracle_launch() const {
  const std::string threads = std::to_string(cores());
  if (!gpu()) return cpu_launch_of("oracle", {threads});
  return launch_of("oracle", {threads, staging_.root().string(), std::to_string(options_.ordinal),
                              std::to_string(options_.least_device_work)});
}

Launch BenchWorkers::launch_of(const std::string& role, std::vector<std::string> arguments) const {
  return {options_.worker, gpu() ? role + "-" + options_.target : role, std::move(arguments),
          gpu() ? options_.library_path : "", options_.cores};
}

Launch BenchWorkers::cpu_launch_of(const std::string& role, std::vector<std::string> arguments) const {
  return {options_.worker, role, std::move(arguments), "", options_.cores};
}

std::int32_t BenchWorkers::cores() const {
  return options_.cores > 0 ? options_.cores
                            : static_cast<std::int32_t>(std::max(1u, std::thread::hardware_concurrency()));
}

WorkerProcess& BenchWorkers::run_worker() {
  if (!run_ || !run_->alive())
    run_ = std::make_unique<WorkerProcess>(
        launch_of("run", {staging_.root().string(), std::to_string(options_.ordinal)}));
  return *run_;
}

void BenchWorkers::end_run_worker() {
  if (run_) run_->end();
  run_.reset();
}

const std::string& BenchWorkers::toolchain(bool for_gpu, const std::vector<std::string>& libraries) {
  const std::string key = (for_gpu ? "gpu " : "cpu ") + json::canonical(json::to_array(libraries));
  if (const auto found = toolchains_.find(key); found != toolchains_.end()) return found->second;
  const std::string text = attempted(
      [&] {
        const std::filesystem::path scratch = staging_.fresh_folder("toolchain");
        const std::vector<std::string> folders{options_.include_dir.string(), scratch.string()};
        WorkerProcess worker(for_gpu ? launch_of("build", folders) : cpu_launch_of("build", folders));
        Frame request;
        request.body = {{"op", "toolchain"}, {"libraries", json::to_array(libraries)}};
        const Frame reply = answered(worker.call(request, kToolchainNs), "name the compiler", "build");
        return json::get_string(reply.body, "toolchain", "a build reply");
      },
      [](const Stopped& stopped) -> std::string {
        throw unavailable("name the compiler", "build", stopped.evidence);
      });
  return toolchains_.emplace(key, text).first->second;
}

std::uint64_t BenchWorkers::microjoules() {
  if (!gpu()) return rapl_.microjoules();
  Frame request;
  request.body = {{"op", "energy"}};
  const Frame reply = answered(run_worker().call(request, kEnergyNs), "read the energy of the GPU", "run");
  return static_cast<std::uint64_t>(json::get_int(reply.body, "microjoules", "a run reply"));
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
