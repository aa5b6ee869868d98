// probe: request {}; reply is the node's description and its measured ceilings (agents/artifacts/facts.h, NodeFacts).
#include <algorithm>
#include <cstdlib>

#include "agents/artifacts/facts.h"
#include "daemon/targets/cpu/ceilings.h"
#include "daemon/targets/cpu/detect.h"
#include "daemon/worker/inside/role.h"

namespace kiln::worker {

Role probe_role(const std::vector<std::string>& arguments) {
  Role role;
  role.rules.read = {"/sys/fs/cgroup", "/sys/class", "/sys/bus", "/proc"};
  const int threads = std::atoi(arguments.at(0).c_str());
  role.handle = [threads](const Frame&) {
    const targets::cpu::CpuDescription cpu = targets::cpu::detect();
    const targets::cpu::Ceilings ceilings = targets::cpu::measure_ceilings(cpu, threads > 0 ? std::min(threads, cpu.cores) : cpu.cores);
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
    Frame reply;
    reply.body = agents::to_json(facts);
    return reply;
  };
  return role;
}

}  // namespace kiln::worker
