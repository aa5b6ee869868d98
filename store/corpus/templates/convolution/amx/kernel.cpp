// Data movement: x is split once into its parts (the launch before this one), in a padded form in which every tap of
// the window is one offset, channels innermost in blocks of 32: 16 neighbouring results of a tap are one tile of rows,
// loaded as they lie. Weights were split when the release was loaded, in the order in which they are used. A block of
// 32 results of 32 channels stays in tile registers for all channels and taps; its rows of x are in the first level of
// cache for all taps of a block of channels, weights stream from the second level. Sums of a task's results of 32
// channels are transposed to rows of results for the epilogue. While a panel of weights is multiplied, the next one is
// fetched into the second level. The floor is six times 2 m c taps results / the tile unit's bfloat16 peak; positions
// between rows of results are computed and thrown away, and splitting x costs as much as 16 channels of the result.
//
// How a float32 product is made of bfloat16 parts: cpu/tiles.h. Of bfloat16 tensors each element is one part, with a
// third of the bytes and a sixth of the products. x is scaled by 2^60, so that no part of a float below
// 2^50 is denormal; strips of x with a larger one, an infinity or a NaN are kept as they are, and then images and
// panels go through plain float32 arithmetic, as panels do whose weights are not finite.

constexpr float kScale = 60;
constexpr std::uint32_t kLarge = (127 + 50) << 23;  // the bits of 2^50

// ---- x in parts

// Where a block of channels of one image and group says for each strip whether it is raw: not split, but the upper
// halves of floats as part 0 and the lower ones, if any, as part 1.
inline std::int64_t raw_at(std::int64_t block) {
  return parts_at(kImages * kGroups * kDepths) + 2 * kTileBytes + block * kStrips;
}

// Places q .. q + 16 of a line of the padded form, of which `shift` is the place of element 0.
inline __m512 load_line(const ElementX* x, std::int64_t q, std::int64_t shift) {
  const auto [from, inside] = neighbours_of(x, q, shift);
  if constexpr (kXParts == 1) {
    if constexpr (kApart == 1) return widened(_mm256_maskz_loadu_epi16(inside, from));
    std::uint16_t halves[kSide] = {};
    for (int i = 0; i < kSide; ++i)
      if (inside >> i & 1) __builtin_memcpy(&halves[i], from + i * kApart, sizeof(ElementX));
    return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
  }
  if constexpr (kApart == 1) return _mm512_maskz_loadu_ps(inside, from);
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), inside,
                                  _mm512_mullo_epi32(lanes, _mm512_set1_epi32(static_cast<int>(kApart))), from, 4);
}

// `count` positions from p, all of one line, of 16 channels; the largest magnitude among them.
template <bool raw>
inline __m512i split_positions(const Channels& channels, std::int64_t half, std::int64_t p, std::int64_t count,
                               Bytes* parts) {
  const std::int64_t phase = p / kPlane;
  const Line line = line_of(phase, p % kPlane / kPitch);
  vf block[kSide];
  __m512i most = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (int i = 0; i < kSide; ++i) {
    const std::int64_t channel = half * kSide + i;
    __m512 x = _mm512_setzero_ps();
    if (line.inside && channel < channels.count)
      x = load_line(channels.x[channel] + line.offset, p % kPitch,
                    channels.shift[channel] + phase % kPhases[kRank - 1]);
    most = _mm512_max_epu32(most, magnitude(x));
    block[i] = (vf)x;
  }
  transpose(block);
  for (std::int64_t j = 0; j < count; ++j) {
    __m512 rest = (__m512)block[j];
    auto* to = reinterpret_cast<__m256i*>(parts + (p + j) * kPosition + half * kPosition / 2);
    const auto at = [to](int s) { return reinterpret_cast<__m256i*>(reinterpret_cast<Bytes*>(to) + s * kPartBytes); };
    if constexpr (raw) {
      const __m512i whole = _mm512_castps_si512(rest);
      _mm256_storeu_si256(at(0), _mm512_cvtepi32_epi16(_mm512_srli_epi32(whole, 16)));
      if constexpr (kXParts > 1) _mm256_storeu_si256(at(1), _mm512_cvtepi32_epi16(whole));
    } else {
      rest = _mm512_scalef_ps(rest, _mm512_set1_ps(kScale));
      for (int s = 0; s < kXParts; ++s) _mm256_storeu_si256(at(s), next_part(rest));
    }
  }
  return most;
}

// Whether all elements are less than 2^50.
template <bool raw>
inline bool split_strip(const Channels& channels, std::int64_t first, std::int64_t end, Bytes* parts) {
  __m512i most = _mm512_setzero_si512();
  along_lines(first, end, [&](std::int64_t p, std::int64_t count) {
    for (std::int64_t half = 0; half < 2; ++half)
      most = _mm512_max_epu32(most, split_positions<raw>(channels, half, p, count, parts));
  });
  return _mm512_reduce_max_epu32(most) < kLarge;
}

// ---- what is not finite

inline const float* exponents_of(const Bytes* panel) {
  return reinterpret_cast<const float*>(panel + kDepths * kAllTaps * kTapBytes);
}

// Element d of a block of channels at a position.
inline float unsplit(const Bytes* packed, std::int64_t block, std::int64_t p, std::int64_t d) {
  const auto half = [&](int s) {
    std::uint16_t bits;
    __builtin_memcpy(&bits, packed + parts_at(block) + s * kPartBytes + p * kPosition + d * 2, sizeof bits);
    return std::uint32_t{bits};
  };
  const auto number = [](std::uint32_t of) { return __builtin_bit_cast(float, of); };
  if (packed[raw_at(block) + p / kStrip] != 0) return number(half(0) << 16 | (kXParts > 1 ? half(1) : 0));
  float sum = 0;
  for (int s = kXParts - 1; s >= 0; --s) sum += number(half(s) << 16);
  return sum * 0x1p-60f;
}

// The weights themselves, in place of the parts of a panel that is not finite.
inline void put_weights(Bytes* step, std::int64_t d, std::int64_t v, __m512 weights) {
  Bytes* at = step + (d * kBlock + v * kSide) * static_cast<std::int64_t>(sizeof(ElementW));
  if constexpr (kXParts > 1) _mm512_storeu_ps(at, weights);
  else  // exact: the instruction that rounds to bfloat16 takes denormals for zero
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(weights), 16)));
}

// Channels 16 v .. of the result in row d of a step of a panel, which holds numbers themselves when it is not finite.
inline __m512 weights_of(const Bytes* panel, std::int64_t step, std::int64_t d, std::int64_t v) {
  const float* exponents = exponents_of(panel);
  const Bytes* at = panel + step * kTapBytes;
  const std::int64_t place = (d * kBlock + v * kSide) * static_cast<std::int64_t>(sizeof(ElementW));
  if (exponents[0] == kNotFinite)
    return kXParts > 1 ? _mm512_loadu_ps(at + place)
                       : widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + place)));
  return _mm512_scalef_ps(joined_columns<kXParts>(at + v * kXParts * kTileBytes, d),
                          _mm512_loadu_ps(exponents + v * kSide));
}

__attribute__((noinline)) void add_plainly(const Bytes* packed, std::int64_t part, const Bytes* panel,
                                           std::int64_t phase, std::int64_t first, float* sums) {
  for (std::int64_t i = 0; i < kBlock && first + i < kPositions; ++i) {
    __m512 sum[2] = {};
    std::int64_t step = kPhaseTaps[phase] * kDepths;
    for (std::int64_t block = 0; block < kDepths; ++block)
      for (std::int64_t tap = kPhaseTaps[phase]; tap < kPhaseTaps[phase + 1]; ++tap, ++step)
        for (std::int64_t d = 0; d < kDeep && block * kDeep + d < kDepth; ++d) {
          const __m512 x = _mm512_set1_ps(unsplit(packed, part * kDepths + block, first + i + kTapInput[tap], d));
          for (int v = 0; v < 2; ++v) sum[v] = _mm512_fmadd_ps(x, weights_of(panel, step, d, v), sum[v]);
        }
    for (int v = 0; v < 2; ++v) _mm512_storeu_ps(sums + i * kBlock + v * kSide, sum[v]);
  }
}

// ---- results

// sums [position][channel], scaled, to rows[channel][kSpan] of positions.
inline void place_rows(const float* sums, const float* exponents, float less, float* rows) {
  for (int v = 0; v < 2; ++v) {
    const __m512 scale = _mm512_sub_ps(_mm512_loadu_ps(exponents + v * kSide), _mm512_set1_ps(less));
    for (int half = 0; half < 2; ++half) {
      vf block[kSide];
#pragma GCC unroll 16
      for (int i = 0; i < kSide; ++i)
        block[i] = (vf)_mm512_scalef_ps(_mm512_loadu_ps(sums + (half * kSide + i) * kBlock + v * kSide), scale);
      transpose(block);
#pragma GCC unroll 16
      for (int i = 0; i < kSide; ++i) store<kLanes>(rows + (v * kSide + i) * kSpan + half * kSide, block[i]);
    }
  }
}

struct Floats {
  static void add(const Bytes* x, const Bytes* w) { add_step<kPartBytes, kSide * kPosition, kXParts>(x, w); }
  static bool plain_part(void* const* args, std::int64_t part) {
    const Bytes* raw = reinterpret_cast<const Bytes*>(padded(args)) + raw_at(part * kDepths);
    bool any = false;
    for (std::int64_t i = 0; i < kDepths * kStrips; ++i) any = any || raw[i] != 0;
    return any;
  }
  static bool plain_panel(const Bytes* w) { return exponents_of(w)[0] == kNotFinite; }
  static void plain(const Bytes* packed, std::int64_t part, const Bytes* panel, std::int64_t phase, std::int64_t first,
                    float* sums) {
    add_plainly(packed, part, panel, phase, first, sums);
  }
  static void place(const float* sums, const Bytes* w, bool plain, float* rows) {
    constexpr float none[kBlock] = {};
    place_rows(sums, plain ? none : exponents_of(w), plain ? 0 : kScale, rows);
  }
};

}  // namespace

extern "C" void KILN_PACK(void* const* args, const kiln_task* task) {
  const std::int64_t strip = task->index % kStrips, index = task->index / kStrips, part = index / kDepths;
  Bytes* packed = reinterpret_cast<Bytes*>(padded_to(args));
  const Channels channels = channels_of(args, part / kGroups, part % kGroups, index % kDepths);
  const std::int64_t first = strip * kStrip, end = first + kStrip < kChannel ? first + kStrip : kChannel;
  const bool finite = split_strip<false>(channels, first, end, packed + parts_at(index));
  if (!finite) split_strip<true>(channels, first, end, packed + parts_at(index));
  packed[raw_at(index) + strip] = !finite;
}

// One panel: [phase][block of channels][tap] of steps, and the exponents of its channels.
extern "C" void KILN_PACK_WEIGHTS(void* const* args, const kiln_task* task) {
  const std::int64_t panel = task->index % kPanels;
  const ElementW* w = weights(args, task->index / kPanels) + panel * kBlock * kWM;
  Bytes* to = reinterpret_cast<Bytes*>(packed_weights_to(args)) + task->index * kPanelBytes;
  auto* exponents = reinterpret_cast<float*>(to + kDepths * kAllTaps * kTapBytes);
  const auto row = [&](std::int64_t d, std::int64_t tap, std::int64_t v) {
    float x[kSide] = {};
    for (std::int64_t i = 0; i < kSide && d < kDepth; ++i)
      if (const std::int64_t m = v * kSide + i; panel * kBlock + m < kM)
        x[i] = static_cast<float>(w[m * kWM + d / kTapWidth * kWC + d % kTapWidth * kWTap + kTapWeight[tap]]);
    return _mm512_loadu_ps(x);
  };
  bool finite = true;
  for (std::int64_t v = 0; v < 2; ++v) {
    __m512i most = _mm512_setzero_si512();
    for (std::int64_t tap = 0; tap < kAllTaps; ++tap)
      for (std::int64_t d = 0; d < kDepth; ++d) most = _mm512_max_epu32(most, magnitude(row(d, tap, v)));
    finite = column_exponents(most, exponents + v * kSide) && finite;
  }
  if (!finite) exponents[0] = kNotFinite;
  for (std::int64_t phase = 0; phase < kAllPhases; ++phase)
    for (std::int64_t block = 0; block < kDepths; ++block)
      for (std::int64_t tap = kPhaseTaps[phase]; tap < kPhaseTaps[phase + 1]; ++tap, to += kTapBytes)
        for (std::int64_t v = 0; v < 2; ++v) {
          const __m512 scale = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_loadu_ps(exponents + v * kSide));
          for (std::int64_t d = 0; d < kDeep; d += 2) {
            const __m512 even = row(block * kDeep + d, tap, v), odd = row(block * kDeep + d + 1, tap, v);
            if (finite) {
              split_columns<kXParts>(_mm512_scalef_ps(even, scale), _mm512_scalef_ps(odd, scale),
                                     to + v * kXParts * kTileBytes + d / 2 * 64);
            } else {
              put_weights(to, d, v, even);
              put_weights(to, d + 1, v, odd);
            }
          }
        }
}

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) { convolve<Floats>(args, task); }
