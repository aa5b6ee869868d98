// What the node says of itself, against what the operating system says by other ways.
#include "daemon/targets/cpu/detect.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "runtime/base/cpu_features.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::targets::cpu;
using kiln::test::TemporaryFolder;

namespace {

// The kernel's own list, an independent reader of the same CPUID leaves.
std::vector<std::string> kernel_flags() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("flags", 0) != 0) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    return {std::istream_iterator<std::string>(words), {}};
  }
  return {};
}

}  // namespace

TEST_CASE("features are those that the kernel lists") {
  const std::vector<std::string> flags = kernel_flags();
  if (flags.empty()) return;
  const auto listed = [&](const std::string& f) { return std::find(flags.begin(), flags.end(), f) != flags.end(); };
  for (const std::string f : {"sse4_2",      "popcnt",      "avx",      "f16c",         "fma",         "avx2",
                              "bmi1",        "bmi2",        "avx_vnni", "avx512f",      "avx512dq",    "avx512ifma",
                              "avx512cd",    "avx512bw",    "avx512vl", "avx512_vbmi2", "avx512_vnni", "avx512_bitalg",
                              "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8",     "amx_bf16"}) {
    INFO(f);
    CHECK(has_cpu_feature(f) == listed(f));
  }
  CHECK_FALSE(has_cpu_feature("avx9000"));
  CHECK_FALSE(has_cpu_feature(""));
}

TEST_CASE("detection respects affinity") {
  cpu_set_t before;
  CPU_ZERO(&before);
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &before)) {
      CPU_SET(cpu, &one);
      break;
    }
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(detect().cores == 1);
  REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
  CHECK(detect().cores >= 1);
  CHECK(detect().cores <= CPU_COUNT(&before));
}

TEST_CASE("detection fills every figure") {
  const CpuDescription d = detect();
  CHECK_FALSE(d.model.empty());
  CHECK(d.numa_nodes >= 1);
  CHECK(d.l1d_bytes >= 8 * 1024);
  CHECK(d.l2_bytes >= d.l1d_bytes);
  CHECK(d.memory_bytes > (std::int64_t{64} << 20));
  CHECK(d.os_kernel.rfind("Linux ", 0) == 0);
}

TEST_CASE("cpu.max as the kernel's documentation writes it") {
  CHECK(parse_cpu_max("max 100000\n") == std::nullopt);
  CHECK(parse_cpu_max("100000 100000\n") == 1.0);
  CHECK(parse_cpu_max("250000 100000") == 2.5);
  CHECK(parse_cpu_max("50000 100000\n") == 0.5);
  for (const char* nonsense : {"", "max", "100000", "x 100000", "100000 0", "-5 100000", "1 2 3", "100000 100000x"})
    CHECK(parse_cpu_max(nonsense) == std::nullopt);
}

TEST_CASE("the tightest quota on the way up counts") {
  const TemporaryFolder root;
  root.put("a.slice/cpu.max", "150000 100000\n");
  root.put("a.slice/b.service/cpu.max", "max 100000\n");
  root.put("a.slice/c.service/cpu.max", "50000 100000\n");
  CHECK(cgroup_cpus(root.path, "0::/a.slice/b.service\n") == 1.5);
  CHECK(cgroup_cpus(root.path, "0::/a.slice/c.service\n") == 0.5);
  CHECK(cgroup_cpus(root.path, "0::/\n") == std::nullopt);
  CHECK(cgroup_cpus(root.path, "1:cpu:/a.slice\n") == std::nullopt);
  CHECK(cgroup_cpus(root.path, "1:name=systemd:/x\n0::/a.slice\n") == 1.5);
  CHECK(cgroup_cpus(root.path, "0::/../../etc\n") == std::nullopt);
  CHECK(cgroup_cpus(root.path, "") == std::nullopt);
}
