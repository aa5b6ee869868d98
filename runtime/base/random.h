// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014). Small, and the same on every
// platform, which the standard library's distributions are not.
#pragma once

#include <cstdint>

namespace kiln {

// The output function: a permutation of 64-bit words in which every bit of the result depends on all of `z`.
[[nodiscard]] constexpr std::uint64_t splitmix64(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() { return splitmix64(state_ += 0x9e3779b97f4a7c15ull); }
  // 0 <= result < 1, 53 bits.
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  // 0 <= result < count, for count < 2^32; the bias is below 2^-32 per draw.
  std::uint64_t below(std::uint64_t count) { return ((next() >> 32) * count) >> 32; }

 private:
  std::uint64_t state_;
};

}  // namespace kiln
