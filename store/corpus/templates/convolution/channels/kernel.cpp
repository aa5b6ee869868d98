// Data movement: x is copied once into a padded form in which every tap of the window is one offset (the launch before
// this one); weights were packed when the release was loaded, in the order in which they are used: kMv vectors of
// channels of the result side by side for each tap, by blocks of kKc channels of x and by phases. A block of results,
// kMv vectors by kNr neighbours of a row, stays in registers: each vector of weights serves kNr results, each element
// of x kMv vectors. No result is computed and thrown away but in the last vector of channels, which is what small
// images gain over vectors along a row. Weights of kKc channels serve all rows of a task before the next ones are
// fetched; sums between are in scratch, channels innermost, and are transposed for the epilogue. The floor is 2 m c
// taps results / peak; with few results per channel weights come from the last level of cache as fast as it gives them.

constexpr std::int64_t kMb = kMv * kLanes;  // channels of a panel
constexpr std::int64_t kPanels = (kM + kMb - 1) / kMb;
constexpr std::int64_t kPanelBlocks = (kPanels + kPanelsPerTask - 1) / kPanelsPerTask;
constexpr std::int64_t kLineBlocks = (kLines + kLinesPerTask - 1) / kLinesPerTask;
constexpr std::int64_t kAllTaps = sizeof kTapInput / sizeof kTapInput[0];
constexpr std::int64_t kOuterPhases = kAllPhases / kJoined;
constexpr std::int64_t kRow = kExtent * kJoined + kLanes;  // places of a row of sums; the last vector reaches past it
constexpr std::int64_t kTiles = (kExtent + kNr - 1) / kNr;
constexpr int kWide = static_cast<int>((kExtent + kTiles - 1) / kTiles);
constexpr int kNarrow = static_cast<int>(kExtent / kTiles);

// Weights of the next kKc channels, or of the next panel, which lie behind those in use, come to the second level of
// cache while these are used: so many lines for each channel of each block of results.
constexpr std::int64_t kCalls = (kLinesPerTask < kLines ? kLinesPerTask : kLines) * kTiles * kAllPhases;
constexpr std::int64_t kFetched = (kAllTaps * kMb / 16 + kCalls - 1) / kCalls;

// Adds up `channels` channels of x for results q * kJoined of a row, q below `columns`: to[q * kJoined][m].
template <int columns>
__attribute__((noinline)) void multiply(const float* w, const float* x, std::int64_t channels,
                                        [[maybe_unused]] std::int64_t phase, const float* next, float* to) {
  const std::int64_t first = kAllPhases == 1 ? 0 : kPhaseTaps[phase];
  const std::int64_t end = kAllPhases == 1 ? kAllTaps : kPhaseTaps[phase + 1];
  vf sum[columns][kMv];
#pragma GCC unroll 16
  for (int q = 0; q < columns; ++q)
#pragma GCC unroll 4
    for (int v = 0; v < kMv; ++v) sum[q][v] = load<kLanes>(to + q * kJoined * kMb + v * kLanes);
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t line = 0; line < kFetched; ++line, next += 16) __builtin_prefetch(next, 0, 2);
    for (std::int64_t tap = first; tap < end; ++tap, w += kMb) {
      const float* from = x + c * kChannel + kTapInput[tap];
      vf row[kMv];
#pragma GCC unroll 4
      for (int v = 0; v < kMv; ++v) row[v] = load<kLanes>(w + v * kLanes);
#pragma GCC unroll 16
      for (int q = 0; q < columns; ++q) {
        const vf each = splat(from[q]);
#pragma GCC unroll 4
        for (int v = 0; v < kMv; ++v) sum[q][v] += each * row[v];
      }
    }
  }
#pragma GCC unroll 16
  for (int q = 0; q < columns; ++q)
#pragma GCC unroll 4
    for (int v = 0; v < kMv; ++v) store<kLanes>(to + q * kJoined * kMb + v * kLanes, sum[q][v]);
}

struct Place {
  std::int64_t image, group, line, phase;  // `phase` is that of the outer dimensions
};

// A row of results for the channels of one vector, the first of which is m, from sums[j][channel].
inline void finish_row(void* const* args, const Place& at, std::int64_t m, const float* sums) {
  const std::int64_t channels = m + kLanes < kM ? kLanes : kM - m;
  for (std::int64_t j = 0; j < kWidth; j += kLanes) {
    vf block[kLanes];
#pragma GCC unroll 16
    for (int q = 0; q < kLanes; ++q) block[q] = load<kLanes>(sums + (j + q) * kMb);
    transpose(block);
    for (std::int64_t i = 0; i < channels; ++i) {
      const Output out = output_at(args, at.image, at.group, m + i, at.line, at.phase);
      if (j + kLanes <= kWidth) {
        finish<kLanes>(out, j, block[i]);
      } else {
        float last[kLanes];
        store<kLanes>(last, block[i]);
        finish_rest<kLanes / 2>(out, j, kWidth - j, last);
      }
    }
  }
}

// All channels of x for the rows [first, last) of one panel.
inline void add_up(const float* w, const float* x, std::int64_t first, std::int64_t last, float* sums) {
  for (std::int64_t i = 0; i < (last - first) * kOuterPhases * kRow * kMb; ++i) sums[i] = 0.0f;
  for (std::int64_t c = 0; c < kC; c += kKc) {
    const std::int64_t channels = c + kKc < kC ? kKc : kC - c;
    const float* block = w + c * kAllTaps * kMb;
    const float* next = block + channels * kAllTaps * kMb;
    for (std::int64_t phase = 0; phase < kAllPhases; ++phase)
      for (std::int64_t line = first; line < last; ++line) {
        if (!is_row(line, phase / kJoined)) continue;
        float* row = sums + (((line - first) * kOuterPhases + phase / kJoined) * kRow + phase % kJoined) * kMb;
        for (std::int64_t t = 0; t < kTiles; ++t) {
          const std::int64_t j = kExtent * t / kTiles, columns = kExtent * (t + 1) / kTiles - j;
          const float* weight = block + kPhaseTaps[phase] * channels * kMb;
          const float* from = x + c * kChannel + line * kPitch + j;
          float* to = row + j * kJoined * kMb;
          if (columns == kWide) multiply<kWide>(weight, from, channels, phase, next, to);
          else multiply<kNarrow>(weight, from, channels, phase, next, to);
          next += channels * kFetched * 16;
        }
      }
  }
}

}  // namespace

extern "C" void KILN_PACK(void* const* args, const kiln_task* task) {
  const std::int64_t c = task->index % kC, group = task->index / kC % kGroups, image = task->index / (kC * kGroups);
  pad_channel(channel_of_x(args, image, group, c), padded_to(args) + task->index * kChannel);
}

extern "C" void KILN_PACK_WEIGHTS(void* const* args, const kiln_task* task) {
  const std::int64_t panel = task->index % kPanels;
  const ElementW* w = weights(args, task->index / kPanels);
  float* to = packed_weights_to(args) + task->index * kC * kAllTaps * kMb;
  for (std::int64_t block = 0; block < kC; block += kKc)
    for (std::int64_t phase = 0; phase < kAllPhases; ++phase)
      for (std::int64_t c = block; c < block + kKc && c < kC; ++c)
        for (std::int64_t tap = kPhaseTaps[phase]; tap < kPhaseTaps[phase + 1]; ++tap)
          for (std::int64_t i = 0; i < kMb; ++i) {
            const std::int64_t m = panel * kMb + i;
            *to++ = m < kM ? static_cast<float>(w[m * kWM + c * kWC + kTapWeight[tap]]) : 0.0f;
          }
}

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const std::int64_t block = task->index % kPanelBlocks, lines = task->index / kPanelBlocks % kLineBlocks;
  const std::int64_t part = task->index / (kPanelBlocks * kLineBlocks), group = part % kGroups;
  const float* x = padded(args) + part * kC * kChannel;
  float* sums = static_cast<float*>(task->scratch);
  const std::int64_t first = lines * kLinesPerTask;
  const std::int64_t last = first + kLinesPerTask < kLines ? first + kLinesPerTask : kLines;
  for (std::int64_t panel = kPanels * block / kPanelBlocks; panel < kPanels * (block + 1) / kPanelBlocks; ++panel) {
    add_up(packed_weights(args) + (group * kPanels + panel) * kC * kAllTaps * kMb, x, first, last, sums);
    for (std::int64_t line = first; line < last; ++line)
      for (std::int64_t phase = 0; phase < kOuterPhases; ++phase) {
        if (!is_row(line, phase)) continue;
        const float* row = sums + ((line - first) * kOuterPhases + phase) * kRow * kMb;
        for (std::int64_t m = panel * kMb; m < kM && m < (panel + 1) * kMb; m += kLanes)
          finish_row(args, {part / kGroups, group, line, phase}, m, row + (m - panel * kMb));
      }
  }
}
