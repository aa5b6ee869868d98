// Kernels that are Kiln's own and no candidates: built by a build worker as those are.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "daemon/worker/bench_workers.h"

namespace kiln::worker {

// Which of them are in an object source, by what they are built from. Compiling them takes longer than a small job's
// checks, so a daemon keeps them from job to job. Any thread.
class BuiltKernels {
 public:
  [[nodiscard]] std::optional<std::string> find(const std::string& recipe) const;
  void add(const std::string& recipe, const std::string& object);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> objects_;  // digests, of both
};

// The digest of the code object. `allow_spills`: of registers to memory, where speed decides nothing. Throws
// Error(unavailable) "cannot `purpose`: its kernels do not compile: ...".
[[nodiscard]] std::string build_own_kernels(BenchWorkers& workers, const std::string& file_name, std::string source,
                                            std::vector<std::string> flags, const std::string& architecture,
                                            const std::string& purpose, bool allow_spills = false);

}  // namespace kiln::worker
