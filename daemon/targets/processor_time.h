// How long a compiler may take: processor time, since on a loaded machine the wall's clock counts its neighbours too.
// One that waits and does not compute ends at a limit of the wall's clock, several times as long.
#pragma once

#include <cstdint>

namespace kiln::targets {

// The wall's clock at which a limit of `processor_ns` is enforced in any case: as on a machine with ten times as many
// busy threads as cores.
[[nodiscard]] constexpr std::int64_t wall_limit_ns(std::int64_t processor_ns) { return 10 * processor_ns; }

// Of the calling process from now on, all its threads together, and, each by itself, of the processes that it starts;
// whole seconds, rounded up, at least one. Beyond it they get SIGXCPU, and a second later SIGKILL. False, with errno,
// where the limit in force is lower already. Safe between fork and exec.
[[nodiscard]] bool limit_processor_time(std::int64_t ns);

}  // namespace kiln::targets
