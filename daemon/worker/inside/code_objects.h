// The code objects of candidates, loaded ahead of libkiln, which then finds them loaded: from there on nothing in a run
// worker has to make memory executable, and arm_code() can forbid it before the first instruction of a kernel runs.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace kiln::worker {

class CodeObjects {
 public:
  // Loads what lies in `directory`/objects; they stay to the end of the process. True when all are kernels that link no
  // library (daemon/targets/cpu/audit.h). A vendor's library may generate code whenever it makes a primitive; it is
  // trusted as the rest of the worker is, and must be loaded first. What cannot be loaded is left to libkiln, which
  // says why. Throws Error(io).
  bool load(const std::string& directory);

 private:
  std::map<std::string, bool> plain_;  // by directory
};

// The order in which candidates must be loaded: those with a vendor's kernels first, else as given. Loads the objects.
[[nodiscard]] std::vector<std::size_t> vendors_first(CodeObjects& objects, const std::vector<std::string>& directories);

}  // namespace kiln::worker
