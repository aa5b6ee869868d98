// What a run worker tells of its measurement while it is at work, in a file that it shares with its parent: who dies or
// hangs cannot answer. A candidate may have written it; it decides whom a failure belongs to, and how long past its
// deadline the worker is waited for, both within limits that are the parent's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kiln::worker {

struct Progress {
  std::uint32_t subject = 0;  // the index of the one at work
  std::int64_t step_ns = 0;   // when the last step ended: a subject's loading, or one of its calls; 0: none yet
};

inline constexpr std::size_t kProgressBytes = 4096;  // of the file

// Both sides, over at least kProgressBytes.
void write_progress(std::span<std::byte> file, const Progress& progress);
[[nodiscard]] Progress read_progress(std::span<const std::byte> file);

// How long an answer is waited for. On a CPU that others use too, a sound measurement takes many times as long as
// alone: as long as its steps end, it does not hang.
struct Patience {
  std::int64_t timeout_ns = 0;  // since it was asked
  std::int64_t step_ns = 0;     // since its last step, beyond that; 0: steps buy no time
  std::int64_t most_ns = 0;     // since it was asked, whatever steps it claims; at least timeout_ns

  // On the clock of `begin_ns`, when it was asked, and `last_step_ns`.
  [[nodiscard]] std::int64_t deadline_ns(std::int64_t begin_ns, std::int64_t last_step_ns) const;
};

}  // namespace kiln::worker
