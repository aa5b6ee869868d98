// Executes GPU kernels on a CPU: the threads of a block are fibres of one thread, blocks run one after another.
// Fibres change at barriers and shuffles only, in an order that the caller chooses, so a result that depends on the
// order shows a race.
//
// Ends the program with a message where a GPU would hang: threads of one block that wait for different things, or all
// for a word of memory that nobody writes.
#pragma once

#include <cstdint>

namespace kiln::simt {

enum class Order : std::uint8_t { forward, backward };

using Kernel = void (*)(void* const* arguments);

struct Grid {
  unsigned blocks = 1;
  unsigned threads = 1;           // of a block, at most 1024
  std::int64_t shared_bytes = 0;  // of a block; every block finds 0xff in it
  unsigned cluster = 1;           // blocks that run side by side and read each other's shared memory
  bool cooperative = false;       // all blocks run side by side, as if they were one cluster
};

void run(Kernel kernel, void* const* arguments, const Grid& grid, Order order);

}  // namespace kiln::simt
