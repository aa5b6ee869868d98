// A range cut into pieces for the cores of this machine.
#pragma once

#include <cstdint>
#include <functional>

namespace kiln {

// Calls body(begin, end) over [0, count), in pieces of `grain`, from up to `threads` threads, the caller among them;
// the pieces are the same whatever the number of threads. Rethrows the first exception.
void parallel(int threads, std::int64_t count, std::int64_t grain,
              const std::function<void(std::int64_t begin, std::int64_t end)>& body);

}  // namespace kiln
