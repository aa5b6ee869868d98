// What this CPU and its operating system can execute, in the names that plans and /proc/cpuinfo use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kiln {

// "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", ... in a fixed order. A vector extension counts only when the
// operating system saves its registers (XCR0; Intel SDM vol. 1, section 13.3). Empty on other architectures.
[[nodiscard]] std::vector<std::string> cpu_features();
[[nodiscard]] bool has_cpu_feature(std::string_view name);

// Asks Linux to save the tile registers of this process's threads, which "amx_tile" needs before its first use; false
// when it refuses. May be called again.
[[nodiscard]] bool use_tiles();

// "Intel(R) Xeon(R) Processor": CPUID leaves 0x80000002-4, trimmed.
[[nodiscard]] std::string cpu_brand();

}  // namespace kiln
