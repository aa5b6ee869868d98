// Kernels that are Kiln's own and no candidates: built by a build worker as those are, and cached as those are.
#pragma once

#include <string>
#include <vector>

#include "daemon/worker/bench_workers.h"

namespace kiln::worker {

// The digest of the code object. `allow_spills`: of registers to memory, where speed decides nothing. Throws
// Error(unavailable) "cannot `purpose`: its kernels do not compile: ...".
[[nodiscard]] std::string build_own_kernels(BenchWorkers& workers, const std::string& file_name, std::string source,
                                            std::vector<std::string> flags, const std::string& architecture,
                                            const std::string& purpose, bool allow_spills = false);

}  // namespace kiln::worker
