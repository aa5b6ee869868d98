#include "daemon/worker/probe_node.h"

#include "daemon/targets/cpu/compile.h"
#include "daemon/targets/cuda/ceilings.h"
#include "daemon/worker/attempts.h"
#include "daemon/worker/build_lanes.h"
#include "daemon/worker/own_kernels.h"
#include "runtime/base/json.h"

namespace kiln::worker {

using agents::Verdict;

namespace {

constexpr std::int64_t kProbeNs = 900 * kSecond;  // our own code: seconds, minutes on a node with much else to do

constexpr const char* kInstrumentSource = R"(#include "runtime/kernel_abi.h"
extern "C" void kiln_instrument_empty(void* const*, const kiln_task*) {}
extern "C" void kiln_instrument_busy(void* const*, const kiln_task*) {
  volatile float sum = 0;
  for (int i = 0; i < 10000; ++i) sum = sum + 1;
}
)";

// The instrument's own plans: one launch of nothing, and one of some 20 us of work. Without a compiler there
// are none, and the facts say 0: the build of the first candidate will tell the rest.
json::object stage_instrument(BenchWorkers& workers) {
  agents::BuildRequest request;
  request.kernel.file_name = "instrument.cpp";
  request.kernel.source = kInstrumentSource;
  const agents::BuildFact built = BuildLanes(workers).build({&request, 1}).front();
  if (built.verdict != Verdict::ok) return {{"empty", ""}, {"busy", ""}};
  const auto staged = [&](const char* symbol) {
    agents::Plan plan;
    plan.name = symbol;
    plan.objects = {built.object};
    agents::PlanLaunch launch;
    launch.symbol = symbol;
    launch.tasks = workers.cores();
    plan.run = {launch};
    return workers.staging().stage({symbol, plan}).string();
  };
  return {{"empty", staged("kiln_instrument_empty")}, {"busy", staged("kiln_instrument_busy")}};
}

Frame ask_gpu(WorkerProcess& worker, Frame& request) {
  return answered(worker.call(request, kProbeNs), "measure the GPU", "probe");
}

std::map<std::string, double> figures_of(const json::object& reply, const char* key) {
  std::map<std::string, double> out;
  for (const auto& member : json::as_object(json::at(reply, key, "a probe reply"), key))
    out[std::string(member.key())] = member.value().to_number<double>();
  return out;
}

void probe_gpu(BenchWorkers& workers, agents::NodeFacts& facts) {
  WorkerProcess worker(workers.launch_of(
      "probe", {workers.staging().root().string(), std::to_string(workers.options().ordinal)}));
  Frame describe;
  describe.body = {{"op", "describe"}};
  agents::NodeFacts described = agents::node_facts_from_json(ask_gpu(worker, describe).body);
  facts.gpu = std::move(described.gpu);
  facts.energy_counter = described.energy_counter;
  facts.no_energy_counter = described.no_energy_counter;
  const std::string kernels =
      build_own_kernels(workers, "ceilings.cu", targets::cuda::ceiling_kernels_source(), {},
                        facts.gpu.value().architecture, "measure the GPU");
  Frame measure;
  measure.body = {{"op", "measure"}};
  measure.fds.push_back(open_object(workers.objects(), kernels));
  const Frame measured = ask_gpu(worker, measure);
  facts.bandwidth = figures_of(measured.body, "bandwidth");
  facts.flops = figures_of(measured.body, "flops");
  facts.launch_ns = json::get_double(measured.body, "launch_ns", "a probe reply");
  facts.false_difference_rate = json::get_double(measured.body, "false_difference_rate", "a probe reply");
  worker.end();  // its context is gone before a candidate runs
}

}  // namespace

agents::NodeFacts probe_node(BenchWorkers& workers) {
  const BenchOptions& options = workers.options();
  WorkerProcess worker(
      workers.cpu_launch_of("probe", {std::to_string(options.threads), workers.staging().root().string()}));
  Frame request;
  request.body = stage_instrument(workers);
  agents::NodeFacts facts = agents::node_facts_from_json(
      answered(worker.call(request, kProbeNs), "measure the node", "probe").body);
  facts.compiler = targets::cpu::compiler_version();
  facts.energy_counter = workers.rapl().describe();
  facts.no_energy_counter = workers.rapl().cause();
  if (workers.gpu()) probe_gpu(workers, facts);
  facts.sandbox = json::get_strings(workers.run_worker().hello(), "sandbox", "a worker's hello");
  return facts;
}

}  // namespace kiln::worker
