// Arenas in a GPU's memory that the oracle made, fills and judges, in the process that runs candidates: they are mapped
// for as long as a call needs them.
#pragma once

#include "daemon/targets/cuda/shared_memory.h"
#include "daemon/worker/arena.h"
#include "runtime/base/json_fwd.h"

namespace kiln::worker {

// This process cannot have the oracle's memory: no fault of a candidate's.
struct Unshared {
  std::string why;
};

class SharedArena {
 public:
  // `fd`: a descriptor of the memory, open as long as this; `shared`: {bytes, arenas?}, as the oracle gave it. Throws
  // Error(corrupt) for a layout that reaches outside.
  SharedArena(int fd, const json::value& layout, const json::value& shared);

  [[nodiscard]] const ArenaLayout& layout() const { return layout_; }
  [[nodiscard]] int arenas() const { return arenas_; }
  // Where arena `i` begins in mapped memory.
  [[nodiscard]] std::size_t offset(int i) const { return static_cast<std::size_t>(i) * layout_.total_bytes; }
  // Throws Unshared.
  [[nodiscard]] targets::cuda::SharedMemory mapped(const targets::cuda::Gpu& gpu) const;

 private:
  const int fd_;
  std::size_t bytes_ = 0;
  int arenas_ = 1;
  ArenaLayout layout_;
};

}  // namespace kiln::worker
