// Data movement: x is copied once into a padded form in which every tap of the window is one offset and neighbours
// along the innermost dimension lie side by side (the launch before this one); then vectors of neighbouring results are
// sums over channels and taps, kept in registers for kMr channels of the result, so that each vector of x is used kMr
// times and each weight kNv times. w is read in place. The floor is 2 m c taps results / peak; results at the end of a
// padded row are computed and thrown away, and few channels of the result reuse little of x. Depthwise (one channel per
// group) is limited by loads from the first level of cache. A transposed convolution is one of stride 1 for each phase
// of its results; phases along the innermost dimension are computed one after the other and then joined.

constexpr std::int64_t kNr = kNv * kLanes;
constexpr std::int64_t kTiles = (kPositions + kNr - 1) / kNr;
constexpr std::int64_t kTileBlocks = (kTiles + kTilesPerTask - 1) / kTilesPerTask;
constexpr std::int64_t kRowTiles = (kM + kMr - 1) / kMr;
constexpr std::int64_t kBlocks = (kM + kMc - 1) / kMc;
constexpr int kTall = static_cast<int>((kM + kRowTiles - 1) / kRowTiles);
constexpr int kShort = static_cast<int>(kM / kRowTiles);

// tile[i][v] = sum over channels and the taps of a phase of w[i, c, tap] * x[c, tap, v].
template <int rows>
__attribute__((noinline)) void multiply(const float* w, const float* x, [[maybe_unused]] std::int64_t phase,
                                        float* tile) {
  const std::int64_t first = kAllPhases == 1 ? 0 : kPhaseTaps[phase];
  const std::int64_t end = kAllPhases == 1 ? kTaps : kPhaseTaps[phase + 1];
  vf sum[rows][kNv];
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < kNv; ++v) sum[i][v] = vf{};
  for (std::int64_t c = 0; c < kC; ++c)
    for (std::int64_t tap = first; tap < end; ++tap) {
      const float* from = x + c * kChannel + kTapInput[tap];
      const float* weight = w + c * kWC + kTapWeight[tap];
      vf column[kNv];
#pragma GCC unroll 8
      for (int v = 0; v < kNv; ++v) column[v] = load<kLanes>(from + v * kLanes);
#pragma GCC unroll 32
      for (int i = 0; i < rows; ++i) {
        const vf each = splat(weight[i * kWM]);
#pragma GCC unroll 8
        for (int v = 0; v < kNv; ++v) sum[i][v] += each * column[v];
      }
    }
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < kNv; ++v) store<kLanes>(tile + i * kNr + v * kLanes, sum[i][v]);
}

}  // namespace

extern "C" void KILN_PACK(void* const* args, const kiln_task* task) {
  const std::int64_t c = task->index % kC, group = task->index / kC % kGroups, image = task->index / (kC * kGroups);
  pad_channel(channel_of_x(args, image, group, c), padded_to(args) + task->index * kChannel);
}

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  std::int64_t rest = task->index;
  const std::int64_t block = rest % kBlocks;
  rest /= kBlocks;
  const std::int64_t tiles = rest % kTileBlocks;
  rest /= kTileBlocks;
  const std::int64_t group = rest % kGroups, image = rest / kGroups;
  const float* w = weights(args, group);
  const float* x = padded(args) + (image * kGroups + group) * kC * kChannel;
  float* sums = static_cast<float*>(task->scratch);
  const std::int64_t last_tile = (tiles + 1) * kTilesPerTask < kTiles ? (tiles + 1) * kTilesPerTask : kTiles;
  for (std::int64_t tile = tiles * kTilesPerTask; tile < last_tile; ++tile)
    for (std::int64_t t = kRowTiles * block / kBlocks; t < kRowTiles * (block + 1) / kBlocks; ++t) {
      const std::int64_t m = kM * t / kRowTiles;
      const int rows = static_cast<int>(kM * (t + 1) / kRowTiles - m);
      for (std::int64_t phase = 0; phase < kAllPhases; phase += kJoined) {
        for (std::int64_t p = 0; p < kJoined; ++p) {
          float* to = sums + p * kMr * kNr;
          if (rows == kTall) multiply<kTall>(w + m * kWM, x + tile * kNr, phase + p, to);
          else multiply<kShort>(w + m * kWM, x + tile * kNr, phase + p, to);
        }
        for (int i = 0; i < rows; ++i)
          finish_positions(args, image, group, m + i, tile * kNr, kNr, phase / kJoined, sums + i * kNr, kMr * kNr,
                           sums + kJoined * kMr * kNr);
      }
    }
}
