#include "daemon/targets/cpu/detect.h"

#include <hwloc.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>

#include "runtime/base/cpu_features.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

namespace kiln::targets::cpu {
namespace {

struct DestroyTopology {
  void operator()(hwloc_topology* t) const { hwloc_topology_destroy(t); }
};
using Topology = std::unique_ptr<hwloc_topology, DestroyTopology>;

Topology load_topology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0)
    throw Error(ErrorCode::unavailable, "cannot read the CPU topology: hwloc does not start");
  Topology topology(raw);
  if (hwloc_topology_load(raw) != 0)
    throw Error(ErrorCode::unavailable, "cannot read the CPU topology: hwloc finds none");
  return topology;
}

std::int64_t cache_bytes(hwloc_topology_t topology, hwloc_obj_type_t level, int fallback) {
  if (const hwloc_obj_t cache = hwloc_get_obj_by_type(topology, level, 0); cache && cache->attr)
    return static_cast<std::int64_t>(cache->attr->cache.size);
  return std::max<std::int64_t>(0, ::sysconf(fallback));
}

std::optional<double> parse_number(std::string_view text) {
  double v = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return v;
}

// An absent or unreadable file means that the kernel or the sandbox does not show it: no limit is known.
std::string read_or_empty(const std::filesystem::path& path) {
  try {
    return read_file(path, 1u << 20);
  } catch (const Error&) {
    return {};
  }
}

std::int32_t affinity_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return static_cast<std::int32_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  return CPU_COUNT(&set);
}

std::string kernel_text() {
  utsname u{};
  if (::uname(&u) != 0) return "unknown";
  return std::string(u.sysname) + " " + u.release + " " + u.machine;
}

// Line "0::/system.slice/kilnd.service" of /proc/self/cgroup: the unified hierarchy.
std::string unified_group(std::string_view proc_self_cgroup) {
  std::size_t begin = 0;
  while (begin < proc_self_cgroup.size()) {
    const std::size_t end = std::min(proc_self_cgroup.find('\n', begin), proc_self_cgroup.size());
    const std::string_view line = proc_self_cgroup.substr(begin, end - begin);
    if (line.substr(0, 3) == "0::") return std::string(line.substr(3));
    begin = end + 1;
  }
  return {};
}

}  // namespace

std::optional<double> parse_cpu_max(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const auto quota = parse_number(text.substr(0, space));
  const auto period = parse_number(text.substr(space + 1));
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return *quota / *period;
}

std::optional<double> cgroup_cpus(const std::filesystem::path& root, std::string_view proc_self_cgroup) {
  const std::string group = unified_group(proc_self_cgroup);
  if (group.empty() || group.find("..") != std::string::npos) return std::nullopt;
  std::optional<double> least;
  std::filesystem::path relative = std::filesystem::path(group).relative_path();
  for (;;) {
    if (const auto cpus = parse_cpu_max(read_or_empty(root / relative / "cpu.max")))
      least = least ? std::min(*least, *cpus) : *cpus;
    if (relative.empty()) return least;
    relative = relative.parent_path();
  }
}

CpuDescription detect() {
  const Topology topology = load_topology();
  CpuDescription d;
  d.model = cpu_brand();
  d.features = cpu_features();
  d.cores = affinity_cores();
  if (const auto quota = cgroup_cpus("/sys/fs/cgroup", read_or_empty("/proc/self/cgroup")))
    d.cores = std::min(d.cores, static_cast<std::int32_t>(std::ceil(*quota)));
  d.cores = std::max(d.cores, 1);
  d.numa_nodes = std::max(1, hwloc_get_nbobjs_by_type(topology.get(), HWLOC_OBJ_NUMANODE));
  d.l1d_bytes = cache_bytes(topology.get(), HWLOC_OBJ_L1CACHE, _SC_LEVEL1_DCACHE_SIZE);
  d.l2_bytes = cache_bytes(topology.get(), HWLOC_OBJ_L2CACHE, _SC_LEVEL2_CACHE_SIZE);
  d.l3_bytes = cache_bytes(topology.get(), HWLOC_OBJ_L3CACHE, _SC_LEVEL3_CACHE_SIZE);
  d.memory_bytes = static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  d.os_kernel = kernel_text();
  return d;
}

}  // namespace kiln::targets::cpu
