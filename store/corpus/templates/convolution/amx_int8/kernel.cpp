// Data movement: x is copied once (the launch before this one) into a padded form in which every tap of the window is
// one offset, channels innermost in blocks of 64: 16 neighbouring results of a tap are one tile of rows, loaded as they
// lie. Weights were packed when the release was loaded, in the order in which they are used. A block of 32 results of
// 32 channels stays in tile registers for all channels and taps; its rows of x are in the first level of cache for all
// taps of a block of channels, weights stream from the second level. Sums of a task's results of 32 channels are
// transposed to rows of results for the epilogue. While a panel of weights is multiplied, the next one is fetched into
// the second level. The floor is 2 m c taps results / the tile unit's peak for bytes, twice that for bfloat16; places
// between rows of results are computed and thrown away, and few channels leave tiles empty.
//
// Bytes of either sign on each side are multiplied as they are and summed in i32: the result is exact, and zero in the
// padding is zero.

// Places q .. q + 16 of a line of the padded form, of which `shift` is the place of element 0.
inline __m128i load_line(const ElementX* x, std::int64_t q, std::int64_t shift) {
  const auto [from, inside] = neighbours_of(x, q, shift);
  if constexpr (kApart == 1) return _mm_maskz_loadu_epi8(inside, from);
  ElementX bytes[kSide] = {};
  for (int i = 0; i < kSide; ++i)
    if (inside >> i & 1) bytes[i] = from[i * kApart];
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
}

// Byte j of block[i] becomes byte i of block[j]: the halves of rows i and i + 8 interlaced, four times over.
inline void transpose_bytes(__m128i (&block)[kSide]) {
  for (int turn = 0; turn < 4; ++turn) {
    __m128i next[kSide];
#pragma GCC unroll 8
    for (int i = 0; i < kSide / 2; ++i) {
      next[2 * i] = _mm_unpacklo_epi8(block[i], block[i + kSide / 2]);
      next[2 * i + 1] = _mm_unpackhi_epi8(block[i], block[i + kSide / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kSide; ++i) block[i] = next[i];
  }
}

// `count` places from p, all of one line.
inline void pack_places(const Channels& channels, std::int64_t p, std::int64_t count, Bytes* to) {
  const std::int64_t phase = p / kPlane;
  const Line line = line_of(phase, p % kPlane / kPitch);
  for (std::int64_t quarter = 0; quarter < kPlace / kSide; ++quarter) {
    __m128i block[kSide];
#pragma GCC unroll 16
    for (int i = 0; i < kSide; ++i) {
      const std::int64_t channel = quarter * kSide + i;
      block[i] = _mm_setzero_si128();
      if (line.inside && channel < channels.count)
        block[i] = load_line(channels.x[channel] + line.offset, p % kPitch,
                             channels.shift[channel] + phase % kPhases[kRank - 1]);
    }
    transpose_bytes(block);
    for (std::int64_t j = 0; j < count; ++j)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + (p + j) * kPosition + quarter * kSide), block[j]);
  }
}

struct ByteProducts {
  static void add(const Bytes* x, const Bytes* w) {
    _tile_loadd(6, w, 64);
    _tile_loadd(4, x, 64);
    _tile_loadd(7, w + kTileBytes, 64);
    add_upper<ElementX, ElementW>();
    _tile_loadd(5, x + kSide * kPosition, 64);
    add_lower<ElementX, ElementW>();
  }
  static bool plain_part(void* const*, std::int64_t) { return false; }
  static bool plain_panel(const Bytes*) { return false; }
  static void plain(const Bytes*, std::int64_t, const Bytes*, std::int64_t, std::int64_t, Sum*) {}
  static void place(const Sum* sums, const Bytes*, bool, Sum* rows) {
    for (int v = 0; v < 2; ++v)
      for (int half = 0; half < 2; ++half) {
        vf block[kSide];
#pragma GCC unroll 16
        for (int i = 0; i < kSide; ++i) block[i] = (vf)load(sums + (half * kSide + i) * kBlock + v * kSide);
        transpose(block);
#pragma GCC unroll 16
        for (int i = 0; i < kSide; ++i) store(rows + (v * kSide + i) * kSpan + half * kSide, (vs)block[i]);
      }
  }
};

}  // namespace

extern "C" void KILN_PACK(void* const* args, const kiln_task* task) {
  const std::int64_t strip = task->index % kStrips, index = task->index / kStrips, part = index / kDepths;
  const Channels channels = channels_of(args, part / kGroups, part % kGroups, index % kDepths);
  Bytes* to = reinterpret_cast<Bytes*>(padded_to(args)) + parts_at(index);
  const std::int64_t first = strip * kStrip, end = first + kStrip < kChannel ? first + kStrip : kChannel;
  along_lines(first, end, [&](std::int64_t p, std::int64_t count) { pack_places(channels, p, count, to); });
}

// One panel: [phase][block of channels][tap] of two tiles.
extern "C" void KILN_PACK_WEIGHTS(void* const* args, const kiln_task* task) {
  const std::int64_t panel = task->index % kPanels;
  const ElementW* w = weights(args, task->index / kPanels) + panel * kBlock * kWM;
  Bytes* to = reinterpret_cast<Bytes*>(packed_weights_to(args)) + task->index * kPanelBytes;
  for (std::int64_t phase = 0; phase < kAllPhases; ++phase)
    for (std::int64_t block = 0; block < kDepths; ++block)
      for (std::int64_t tap = kPhaseTaps[phase]; tap < kPhaseTaps[phase + 1]; ++tap)
        for (std::int64_t v = 0; v < 2; ++v, to += kTileBytes) {
          const auto row = [&](std::int64_t d) {
            ElementW x[kSide] = {};
            for (std::int64_t i = 0; i < kSide && d < kDepth; ++i)
              if (const std::int64_t m = v * kSide + i; panel * kBlock + m < kM)
                x[i] = w[m * kWM + d / kTapWidth * kWC + d % kTapWidth * kWTap + kTapWeight[tap]];
            return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
          };
          for (std::int64_t d = block * kPlace, line = 0; line < kSide; d += 4, ++line)
            store_fours(row(d), row(d + 1), row(d + 2), row(d + 3), to + line * 64);
        }
}

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) { convolve<ByteProducts>(args, task); }
