// Data movement: nothing is copied. Column panels of B are read in place, k rows of kNr contiguous floats, and used by
// all row tiles of the task from cache; A is read by broadcasts. Sums stay in registers over all of k, the epilogue
// runs on a tile in the first level of cache. The floor is 2 m n k / peak; rows of B that lie a multiple of a page
// apart limit it in practice, which is when matmul/packed wins although it moves B twice more.

constexpr std::int64_t kNr = kNv * kLanes;
constexpr std::int64_t kPanels = (kN + kNr - 1) / kNr;
constexpr std::int64_t kRowTiles = (kM + kMr - 1) / kMr;
constexpr int kTall = static_cast<int>((kM + kRowTiles - 1) / kRowTiles);
constexpr int kShort = static_cast<int>(kM / kRowTiles);
constexpr std::int64_t kRowBlocks = (kM + kMc - 1) / kMc;
constexpr int kTailColumns = static_cast<int>(kN - (kPanels - 1) * kNr);  // of the last panel

// tile[i][v] = sum over p of a[i, p] * b[p, v], for the first `columns` columns of a panel.
template <int rows, int columns>
__attribute__((noinline)) void multiply(const ElementA* a, const ElementB* b, float* tile) {
  constexpr int vectors = (columns + kLanes - 1) / kLanes;
  constexpr int end = columns - (vectors - 1) * kLanes;  // lanes of the last vector
  vf sum[rows][vectors];
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = vf{};
  for (std::int64_t p = 0; p < kK; ++p) {
    vf column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v + 1 < vectors; ++v) column[v] = load(b + p * kBRow + v * kLanes);
    column[vectors - 1] = load<end>(b + p * kBRow + (vectors - 1) * kLanes);
#pragma GCC unroll 32
    for (int i = 0; i < rows; ++i) {
      const vf row = splat(a[p * kAColumn + i * kARow]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v] += row * column[v];
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) store(tile + i * kNr + v * kLanes, sum[i][v]);
}

template <int columns>
inline void panel_tile(const Matrices& at, std::int64_t row, int rows, std::int64_t column, float* tile) {
  const ElementA* a = at.a + row * kARow;
  const ElementB* b = at.b + column;
  if (rows == kTall) multiply<kTall, columns>(a, b, tile);
  else multiply<kShort, columns>(a, b, tile);
  for (int i = 0; i < rows; ++i) {
    int j = 0;
    for (; j + kLanes <= columns; j += kLanes) finish<kLanes>(at, row + i, column + j, load(tile + i * kNr + j));
    if constexpr (columns % kLanes != 0) finish<columns % kLanes>(at, row + i, column + j, load(tile + i * kNr + j));
  }
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const Matrices at = matrices_at(args, task->index / kRowBlocks);
  const std::int64_t block = task->index % kRowBlocks;
  float* tile = static_cast<float*>(task->scratch);
  for (std::int64_t panel = 0; panel < kPanels; ++panel)
    for (std::int64_t t = kRowTiles * block / kRowBlocks; t < kRowTiles * (block + 1) / kRowBlocks; ++t) {
      const std::int64_t row = kM * t / kRowTiles;
      const int rows = static_cast<int>(kM * (t + 1) / kRowTiles - row);
      if (kTailColumns == kNr || panel + 1 < kPanels) panel_tile<kNr>(at, row, rows, panel * kNr, tile);
      else panel_tile<kTailColumns>(at, row, rows, panel * kNr, tile);
    }
}
