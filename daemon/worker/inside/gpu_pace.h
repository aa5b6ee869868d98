// How the calls of a measurement on a GPU are timed: one by one, or many that follow each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "agents/artifacts/objective.h"

namespace kiln::worker {

// What a measurement's calls read and write. Of cold ones that follow each other each has another set of tensors.
struct CallSets {
  std::size_t call_bytes = 0;  // of one set
  std::size_t sets = 1;
  std::size_t cache_bytes = 0;  // of the second-level cache

  // Whether cold calls may follow each other: all their sets are far larger than the cache.
  [[nodiscard]] bool stay_cold() const;
};

// That of all subjects of a measurement, which are timed alike: were the shorter of two timed in another way, the
// longer one would seem longer still.
class GpuPace {
 public:
  // A subject is loaded, with so many bytes of constants.
  void loaded(std::uintmax_t constants_bytes);
  // One of its calls took so long.
  void took(double ns);

  // Whether its calls are timed together: two events around one call tell some microseconds more than it takes, in
  // steps of half a one. Calls that have to be cold only where each finds its tensors in memory, and reads little else.
  [[nodiscard]] bool in_batches(bool cold, const CallSets& sets) const;
  // Calls to time together, each `call_ns` long. Cold ones are as many as there are sets: what is timed has been
  // launched before, and would find its first calls' tensors in the cache.
  [[nodiscard]] std::int64_t calls(agents::Objective objective, double call_ns, bool cold, const CallSets& sets) const;

 private:
  double shortest_ns_ = std::numeric_limits<double>::infinity();
  std::uintmax_t most_constants_ = 0;
};

}  // namespace kiln::worker
