#include "daemon/worker/inside/shared_arena.h"

#include "runtime/base/json.h"

namespace kiln::worker {

SharedArena::SharedArena(int fd, const json::value& layout, const json::value& shared) : fd_(fd) {
  const json::object& o = json::as_object(shared, "shared memory");
  const std::int64_t bytes = json::get_int(o, "bytes", "shared memory");
  const std::int64_t arenas = json::get_int(o, "arenas", "shared memory");
  if (bytes <= 0 || arenas <= 0 || arenas > 2 || bytes % arenas != 0)
    throw Error(ErrorCode::corrupt, "cannot use shared memory: its size is malformed");
  bytes_ = static_cast<std::size_t>(bytes);
  arenas_ = static_cast<int>(arenas);
  layout_ = arena_from_json(layout, bytes_ / static_cast<std::size_t>(arenas));
}

targets::cuda::SharedMemory SharedArena::mapped(const targets::cuda::Gpu& gpu) const {
  try {
    return targets::cuda::SharedMemory::imported(gpu, fd_, bytes_);
  } catch (const kiln::cuda::DriverError& error) {
    if (kiln::cuda::is_sticky(error.result())) throw;  // of a kernel that ran before
    throw Unshared{error.what()};
  }
}

}  // namespace kiln::worker
