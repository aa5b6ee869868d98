// The text of the oracle's kernels, CUDA C++: complete, compiled by a build worker for the device's architecture.
#pragma once

#include <string>
#include <vector>

namespace kiln::targets::cuda::oracle {

[[nodiscard]] std::string kernels_source();
// Products and sums stay apart, as on a CPU, but where the text says otherwise.
[[nodiscard]] std::vector<std::string> kernels_flags();

inline constexpr unsigned kBlockThreadsOfOracle = 256;

}  // namespace kiln::targets::cuda::oracle
