// How the tasks of a product on the tile unit share out its blocks: 32 rows (a pair of tiles) by a panel of 32 columns.
// After tiles.h.

constexpr std::int64_t kPairs = (kM + kBlock - 1) / kBlock;  // of row tiles
constexpr std::int64_t kRowBlocks = (kM + kMc - 1) / kMc;
constexpr std::int64_t kColumnBlocks = (kN + kNc - 1) / kNc;
constexpr std::int64_t kDepthBlocks = (kK + kKc - 1) / kKc;
constexpr std::int64_t kMostPairs = (kPairs + kRowBlocks - 1) / kRowBlocks;  // of a task
constexpr int kTailColumns = static_cast<int>(kN - (kPanels - 1) * kNr);     // of the last panel

struct Block { std::int64_t pair_begin, pair_end, panel_begin, panel_end; };

// What a task computes, of the matrix with index task / (kRowBlocks * kColumnBlocks).
inline Block block_of(std::int64_t task) {
  const auto part = [](std::int64_t count, std::int64_t parts, std::int64_t i) { return count * i / parts; };
  const std::int64_t rows = task / kColumnBlocks % kRowBlocks, columns = task % kColumnBlocks;
  return {part(kPairs, kRowBlocks, rows), part(kPairs, kRowBlocks, rows + 1), part(kPanels, kColumnBlocks, columns),
          part(kPanels, kColumnBlocks, columns + 1)};
}
