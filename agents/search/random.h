// The agents' only source of chance: a seeded generator whose stream is the same on every platform (the standard
// library's distributions are not). SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
#pragma once

#include <cstdint>

namespace kiln::agents {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // 0 <= result < count, for count < 2^32; the bias is below 2^-32 per draw.
  std::uint64_t below(std::uint64_t count) { return ((next() >> 32) * count) >> 32; }
  // 0 <= result < 1, 53 bits.
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  std::uint64_t state_;
};

}  // namespace kiln::agents
