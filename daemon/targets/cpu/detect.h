// What the node says of its CPU and of the share of it that this process may use. Reads hwloc, CPUID, affinity, cgroup.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::targets::cpu {

struct CpuDescription {
  std::string model;
  std::vector<std::string> features;
  std::int32_t cores = 1;  // the smaller of the affinity mask and the cgroup quota, at least 1
  std::int32_t numa_nodes = 1;
  std::int64_t l1d_bytes = 0, l2_bytes = 0, l3_bytes = 0;  // one instance each; 0 when the level is not there
  std::int64_t memory_bytes = 0;                           // physical
  std::string os_kernel;                                   // "Linux 6.1.0-18-amd64 x86_64"
};
// Throws Error(unavailable) when the topology cannot be read at all.
[[nodiscard]] CpuDescription detect();

// CPUs' worth of time that "max 100000" or "150000 100000" (cgroup v2 cpu.max) allows; nullopt for no limit or no
// sense.
[[nodiscard]] std::optional<double> parse_cpu_max(std::string_view text);
// The smallest quota on the way from this process's group, as /proc/self/cgroup names it, up to the root.
[[nodiscard]] std::optional<double> cgroup_cpus(const std::filesystem::path& root, std::string_view proc_self_cgroup);

}  // namespace kiln::targets::cpu
