// Data movement: x is copied once into a padded form in which every tap of the window is one offset and a place holds
// four neighbouring channels, a byte each (the launch before this one); weights were packed in fours of channels when
// the release was loaded. Then vectors of neighbouring results are sums over channels and taps, kept in registers for
// kMr channels of the result: each vector of x is used kMr times, each four of weights kNv times. The floor is 2 m c
// taps results over four times the rate of multiply-adds of a vector of float32 (an instruction has four products to a
// lane); results at the end of a padded row are computed and thrown away, and channels of x that are no multiple of
// four waste the rest of a place.
//
// The instruction multiplies unsigned by signed bytes and wraps in i32 (Intel SDM, VPDPBUSD), so the result is exact. A
// signed x is moved by 128, in the padding too, and what that adds, 128 times the sum of a result's weights, is what
// its sum begins with, less.

constexpr bool kSignedX = std::is_signed_v<ElementX>;
constexpr std::int64_t kFours = (kC + 3) / 4;
constexpr std::int64_t kAllTaps = sizeof kTapInput / sizeof kTapInput[0];
constexpr std::int64_t kPackedGroup = (kFours * kAllTaps + kAllPhases) * kM;  // [four][tap][m], then [phase][m]

struct Fours {
  static constexpr std::int64_t kDepth = 4, kApart = 1;
  using Weights = const Sum*;
  static Weights of_group(void* const* args, std::int64_t group) { return packed_weights(args) + group * kPackedGroup; }
  static const Sum* at(Weights w, std::int64_t four, std::int64_t tap) { return w + (four * kAllTaps + tap) * kM; }
  static Sums first(Weights w, std::int64_t phase, std::int64_t m) {
    return kSignedX ? splat(w[(kFours * kAllTaps + phase) * kM + m]) : Sums{};
  }
  static Sums add(Sums sum, Sums weight, Sums x) {
    return (Sums)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)weight);
  }
};

}  // namespace

extern "C" void KILN_PACK(void* const* args, const kiln_task* task) {
  const std::int64_t four = task->index % kFours, part = task->index / kFours;
  const ElementX* x[4];
  std::uint32_t there[4];  // all bits where there is a channel
  for (std::int64_t q = 0; q < 4; ++q) {
    const bool inside = four * 4 + q < kC;
    x[q] = channel_of_x(args, part / kGroups, part % kGroups, inside ? four * 4 + q : 0);
    there[q] = inside ? 0xff : 0;
  }
  Sum* to = padded_to(args) + task->index * kChannel;
  pad_channel(to, [&](std::int64_t at) {
    return (x[0][at] & there[0]) | (x[1][at] & there[1]) << 8 | (x[2][at] & there[2]) << 16 |
           (x[3][at] & there[3]) << 24;
  });
  if constexpr (kSignedX)
    for (std::int64_t i = 0; i < kChannel; ++i) to[i] ^= 0x80808080u;
}

// The weights of a group.
extern "C" void KILN_PACK_WEIGHTS(void* const* args, const kiln_task* task) {
  const ElementW* w = weights(args, task->index);
  Sum* to = packed_weights_to(args) + task->index * kPackedGroup;
  Sum* moved = to + kFours * kAllTaps * kM;
  for (std::int64_t i = 0; i < kPackedGroup; ++i) to[i] = 0;
  for (std::int64_t phase = 0; phase < kAllPhases; ++phase)
    for (std::int64_t tap = kPhaseTaps[phase]; tap < kPhaseTaps[phase + 1]; ++tap)
      for (std::int64_t c = 0; c < kC; ++c)
        for (std::int64_t m = 0; m < kM; ++m) {
          const ElementW weight = w[m * kWM + c * kWC + kTapWeight[tap]];
          to[(c / 4 * kAllTaps + tap) * kM + m] |= std::uint32_t{static_cast<std::uint8_t>(weight)} << (c % 4 * 8);
          moved[phase * kM + m] -= 128 * static_cast<Sum>(weight);
        }
}

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) { DirectConvolution<Fours>::run(args, task); }
