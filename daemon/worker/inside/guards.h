// Guard pages of an arena that this process maps: nobody can touch them, and who does ends the process with a status
// that says which (guard_exit.h).
#pragma once

#include <cstddef>
#include <span>

#include "daemon/worker/arena.h"

namespace kiln::worker {

// `arena` begins at a page. Throws Error(io). The newest thousands of pages are known by name; a fault anywhere else
// ends the process as it would have without this.
void close_guard_pages(std::span<std::byte> arena, const ArenaLayout& layout);

}  // namespace kiln::worker
