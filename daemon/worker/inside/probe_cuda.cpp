// probe-cuda: `op: describe` -> {gpu}, without a context; `op: measure` + the measuring kernels' cubin -> {bandwidth,
// flops, launch_ns, false_difference_rate} of that GPU.
#include <fmt/format.h>

#include "agents/artifacts/facts.h"
#include "daemon/targets/cuda/ceilings.h"
#include "daemon/worker/gpu_facts.h"
#include "daemon/worker/inside/gpu_role.h"
#include "daemon/worker/inside/role.h"
#include "daemon/worker/memory.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

agents::GpuFacts facts_of(const targets::cuda::NodeDescription& node, const targets::cuda::GpuDescription& gpu) {
  agents::GpuFacts facts = gpu_facts(gpu);
  facts.driver = fmt::format("{}.{}{}", node.driver_version / 1000, node.driver_version % 1000 / 10,
                             node.driver_release.empty() ? "" : " (" + node.driver_release + ")");
  return facts;
}

json::object figures(const std::map<std::string, double>& of) {
  json::object out;
  for (const auto& [name, figure] : of) out[name] = figure;
  return out;
}

}  // namespace

Role probe_cuda_role(const std::vector<std::string>& arguments) {
  Role role;
  role.rules = gpu_rules(arguments.at(0));
  const auto gpu = std::make_shared<LazyGpu>(ordinal_of(arguments.at(1)));
  role.handle = [gpu](const Frame& request) {
    Frame reply;
    targets::cuda::Gpu& device = gpu->get();
    const std::string op = json::get_string(request.body, "op", "a probe request");
    if (op == "describe") {
      agents::NodeFacts facts;
      facts.gpu = facts_of(device.node(), device.description());
      if (device.counts_energy())
        facts.energy_counter = "NVML";
      else
        facts.no_energy_counter = "NVML is not there, or counts no energy of this GPU";
      reply.body = agents::to_json(facts);
      return reply;
    }
    if (op != "measure") throw Error(ErrorCode::invalid_input, "cannot answer the probe request '" + op + "'");
    const std::string cubin(Mapped(request.fds.at(0).get(), Mapped::Access::read, 16u << 20).text());
    const targets::cuda::GpuCeilings ceilings = targets::cuda::measure_ceilings(device, cubin);
    reply.body = {{"bandwidth", figures(ceilings.bandwidth)},
                  {"flops", figures(ceilings.flops)},
                  {"launch_ns", ceilings.launch_ns},
                  {"false_difference_rate", targets::cuda::false_difference_rate(device, cubin)}};
    return reply;
  };
  return role;
}

}  // namespace kiln::worker
