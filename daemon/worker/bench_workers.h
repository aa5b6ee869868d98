// What the parts of a bench share: its folder of candidates and the processes that it keeps from one call to
// the next.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agents/artifacts/verdict.h"
#include "daemon/worker/bench_options.h"
#include "daemon/worker/energy_source.h"
#include "daemon/worker/object_source.h"
#include "daemon/worker/oracle_client.h"
#include "daemon/worker/process.h"
#include "daemon/worker/staging.h"

namespace kiln::worker {

class BenchWorkers {
 public:
  BenchWorkers(const BenchOptions& options, ObjectSource& objects);
  BenchWorkers(const BenchWorkers&) = delete;
  BenchWorkers& operator=(const BenchWorkers&) = delete;

  [[nodiscard]] const BenchOptions& options() const { return options_; }
  [[nodiscard]] ObjectSource& objects() { return objects_; }
  [[nodiscard]] Staging& staging() { return staging_; }
  [[nodiscard]] OracleClient& oracle() { return oracle_; }
  [[nodiscard]] RaplSource& rapl() { return rapl_; }
  // What the counter of the bench's target says. Throws Error(unavailable) where there is none.
  [[nodiscard]] std::uint64_t microjoules();

  [[nodiscard]] bool gpu() const { return options_.target != "cpu"; }
  // That its workers may use together.
  [[nodiscard]] std::int32_t cores() const;
  // A worker for the CPU, and one of this bench's target: role "run" starts "run" or "run-cuda".
  [[nodiscard]] Launch cpu_launch_of(const std::string& role, std::vector<std::string> arguments) const;
  [[nodiscard]] Launch launch_of(const std::string& role, std::vector<std::string> arguments) const;

  // What a build worker says it builds with: the compiler and its version, the libraries' versions, Kiln's own header.
  // Asked for once. Throws Error(unavailable).
  [[nodiscard]] const std::string& toolchain(bool for_gpu, const std::vector<std::string>& libraries);

  // The process that runs candidates; started when there is none.
  [[nodiscard]] WorkerProcess& run_worker();
  // The next one is started once this one is reaped; throws Error(unavailable) where that cannot be.
  void end_run_worker();

 private:
  [[nodiscard]] Launch oracle_launch() const;

  const BenchOptions options_;
  ObjectSource& objects_;
  Staging staging_;
  std::string oracle_kernels_;  // the digest of their code object; empty: not built
  OracleClient oracle_;
  RaplSource rapl_;
  std::unique_ptr<WorkerProcess> run_;
  std::map<std::string, std::string> toolchains_;  // by what was asked for
};

// What speaks against a candidate after its run worker's answer to {check} or {measure}.
struct RunFailure {
  agents::Verdict verdict = agents::Verdict::crashed;
  std::string evidence;
  bool worker_is_tainted = false;  // something of the candidate may still be at work there
};
[[nodiscard]] std::optional<RunFailure> run_failure_of(const Answer& answer);

}  // namespace kiln::worker
