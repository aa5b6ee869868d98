// Convolution by vectors of neighbouring results over a padded copy of x: what its templates share. `Products` says how
// x and w are multiplied: kDepth channels of x are one place of the padded form, of four bytes,
//   Weights of_group(args, group)                  where the weights of a group begin
//   at(weights, block, tap)                        those of a tap for a block of kDepth channels, as seen by result 0
//   kApart                                         how far apart those of neighbouring results are
//   Sums first(weights, phase, m)                  what a sum of result m begins with
//   Sums add(sum, weight, x)                       a sum with the products of a place added

template <class Products>
struct DirectConvolution {
  static constexpr std::int64_t kNr = kNv * kLanes;
  static constexpr std::int64_t kDepths = (kC + Products::kDepth - 1) / Products::kDepth;
  static constexpr std::int64_t kTiles = (kPositions + kNr - 1) / kNr;
  static constexpr std::int64_t kTileBlocks = (kTiles + kTilesPerTask - 1) / kTilesPerTask;
  static constexpr std::int64_t kRowTiles = (kM + kMr - 1) / kMr;
  static constexpr std::int64_t kBlocks = (kM + kMc - 1) / kMc;
  static constexpr int kTall = static_cast<int>((kM + kRowTiles - 1) / kRowTiles);
  static constexpr int kShort = static_cast<int>(kM / kRowTiles);
  using Weights = typename Products::Weights;

  // tile[i][v] = sum over channels and the taps of a phase of w[m + i, c, tap] * x[c, tap, v].
  template <int rows>
  __attribute__((noinline)) static void multiply(Weights w, std::int64_t m, const Sum* x, std::int64_t phase,
                                                 Sum* tile) {
    const std::int64_t first = kAllPhases == 1 ? 0 : kPhaseTaps[phase];
    const std::int64_t end = kAllPhases == 1 ? kTaps : kPhaseTaps[phase + 1];
    Sums sum[rows][kNv];
#pragma GCC unroll 32
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < kNv; ++v) sum[i][v] = Products::first(w, phase, m + i);
    for (std::int64_t block = 0; block < kDepths; ++block)
      for (std::int64_t tap = first; tap < end; ++tap) {
        const Sum* from = x + block * kChannel + kTapInput[tap];
        const auto* weight = Products::at(w, block, tap) + m * Products::kApart;
        Sums column[kNv];
#pragma GCC unroll 8
        for (int v = 0; v < kNv; ++v) column[v] = load<kLanes>(from + v * kLanes);
#pragma GCC unroll 32
        for (int i = 0; i < rows; ++i) {
          const Sums each = splat(static_cast<Sum>(weight[i * Products::kApart]));
#pragma GCC unroll 8
          for (int v = 0; v < kNv; ++v) sum[i][v] = Products::add(sum[i][v], each, column[v]);
        }
      }
#pragma GCC unroll 32
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < kNv; ++v) store<kLanes>(tile + i * kNr + v * kLanes, sum[i][v]);
  }

  static void run(void* const* args, const kiln_task* task) {
    std::int64_t rest = task->index;
    const std::int64_t block = rest % kBlocks;
    rest /= kBlocks;
    const std::int64_t tiles = rest % kTileBlocks;
    rest /= kTileBlocks;
    const std::int64_t group = rest % kGroups, image = rest / kGroups;
    const Weights w = Products::of_group(args, group);
    const Sum* x = padded(args) + (image * kGroups + group) * kDepths * kChannel;
    Sum* sums = static_cast<Sum*>(task->scratch);
    const std::int64_t last_tile = (tiles + 1) * kTilesPerTask < kTiles ? (tiles + 1) * kTilesPerTask : kTiles;
    for (std::int64_t tile = tiles * kTilesPerTask; tile < last_tile; ++tile)
      for (std::int64_t t = kRowTiles * block / kBlocks; t < kRowTiles * (block + 1) / kBlocks; ++t) {
        const std::int64_t m = kM * t / kRowTiles;
        const int rows = static_cast<int>(kM * (t + 1) / kRowTiles - m);
        for (std::int64_t phase = 0; phase < kAllPhases; phase += kJoined) {
          for (std::int64_t p = 0; p < kJoined; ++p) {
            Sum* to = sums + p * kMr * kNr;
            if (rows == kTall) multiply<kTall>(w, m, x + tile * kNr, phase + p, to);
            else multiply<kShort>(w, m, x + tile * kNr, phase + p, to);
          }
          for (int i = 0; i < rows; ++i)
            finish_positions(args, image, group, m + i, tile * kNr, kNr, phase / kJoined, sums + i * kNr, kMr * kNr,
                             sums + kJoined * kMr * kNr);
        }
      }
  }
};
