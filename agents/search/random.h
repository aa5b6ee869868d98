// The agents' only source of chance: a seeded generator whose stream is the same on every platform.
#pragma once

#include <cstdint>

#include "runtime/base/random.h"

namespace kiln::agents {

class Random : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;
  // 0 <= result < count, for count < 2^32; the bias is below 2^-32 per draw.
  std::uint64_t below(std::uint64_t count) { return ((next() >> 32) * count) >> 32; }
};

}  // namespace kiln::agents
