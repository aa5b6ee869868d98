// probe: request {empty, busy}: release directories of the instrument's own plans, or "" when there is no compiler;
// reply is the node's description and its measured ceilings (agents/artifacts/facts.h, NodeFacts).
#include <algorithm>
#include <cstdlib>

#include "agents/artifacts/facts.h"
#include "daemon/targets/cpu/ceilings.h"
#include "daemon/targets/cpu/detect.h"
#include "daemon/targets/cpu/instrument.h"
#include "daemon/worker/inside/role.h"
#include "runtime/base/json.h"

namespace kiln::worker {

Role probe_role(const std::vector<std::string>& arguments) {
  Role role;
  role.rules.read = {"/sys/fs/cgroup", "/sys/class", "/sys/bus", "/proc", arguments.at(1)};
  const int threads = std::atoi(arguments.at(0).c_str());
  role.handle = [threads](const Frame& request) {
    const targets::cpu::CpuDescription cpu = targets::cpu::detect();
    const int used = threads > 0 ? std::min(threads, cpu.cores) : cpu.cores;
    const targets::cpu::Ceilings ceilings = targets::cpu::measure_ceilings(cpu, used);
    agents::NodeFacts facts;
    facts.cpu_model = cpu.model;
    facts.features = cpu.features;
    facts.cores = cpu.cores;
    facts.numa_nodes = cpu.numa_nodes;
    facts.l1d_bytes = cpu.l1d_bytes;
    facts.l2_bytes = cpu.l2_bytes;
    facts.l3_bytes = cpu.l3_bytes;
    facts.memory_bytes = cpu.memory_bytes;
    facts.os_kernel = cpu.os_kernel;
    facts.bandwidth = ceilings.bandwidth;
    facts.flops = ceilings.flops;
    const std::string empty = json::get_string(request.body, "empty", "a probe request");
    const std::string busy = json::get_string(request.body, "busy", "a probe request");
    if (!empty.empty()) facts.launch_ns = targets::cpu::launch_latency_ns(empty, used);
    if (!busy.empty()) facts.false_difference_rate = targets::cpu::false_difference_rate(busy, used);
    Frame reply;
    reply.body = agents::to_json(facts);
    return reply;
  };
  return role;
}

}  // namespace kiln::worker
