// Data movement: tiles of A and B go through shared memory, kTileK columns and rows at a time; each element of A is
// read ceil(n / kTileN) times and each of B ceil(m / kTileM) times, from the second-level cache as long as the tiles
// under way fit it. Sums stay in registers over all of k and pass through the epilogue once. The floor is 2 m n k /
// the FLOP/s of plain multiply-adds: this is the template that is right everywhere, not the one that uses tensor
// cores. With kStatistics each tile leaves what its results of a column come to.

constexpr int kAStride = kTileM + 1, kBStride = kTileN + 1;  // no two rows of a tile begin in the same bank
constexpr index_t kTilesM = (kM + kTileM - 1) / kTileM, kTilesN = (kN + kTileN - 1) / kTileN;

// Neighbouring threads take neighbours in memory, whichever way the matrix lies.
KILN_DEVICE void load_tiles(const Arguments& arguments, const Place& at, index_t row, index_t column, index_t p,
                            Value* a_tile, Value* b_tile) {
  for (int e = static_cast<int>(thread_index()); e < kTileM * kTileK; e += kBlockThreads) {
    const int k = kAColumn == 1 ? e % kTileK : e / kTileM, m = kAColumn == 1 ? e / kTileK : e % kTileM;
    const bool inside = row + m < kM && p + k < kK;
    a_tile[k * kAStride + m] = inside ? load_a(arguments, at, row + m, p + k) : Value(0);
  }
  for (int e = static_cast<int>(thread_index()); e < kTileN * kTileK; e += kBlockThreads) {
    const int k = kBColumn == 1 ? e / kTileN : e % kTileK, n = kBColumn == 1 ? e % kTileN : e / kTileK;
    const bool inside = column + n < kN && p + k < kK;
    b_tile[k * kBStride + n] = inside ? load_b(arguments, at, p + k, column + n) : Value(0);
  }
}

KILN_ENTRY(KILN_LED) {
  Value* a_tile = static_cast<Value*>(shared_memory());
  Value* b_tile = a_tile + kTileK * kAStride;
  const index_t block = static_cast<index_t>(block_index());
  const index_t row = block / kTilesN % kTilesM * kTileM, column = block % kTilesN * kTileN;
  const Place at = place_of(block / (kTilesM * kTilesN));
  const int tm = static_cast<int>(thread_index()) / kThreadsN, tn = static_cast<int>(thread_index()) % kThreadsN;
  Value sums[kThreadRows][kThreadColumns] = {};
  for (index_t p = 0; p < kK; p += kTileK) {
    load_tiles(arguments, at, row, column, p, a_tile, b_tile);
    block_barrier();
    add_products<kAStride, kBStride>(a_tile, b_tile, tm, tn, sums);
    block_barrier();
  }
  f32 seen[kThreadColumns][kThreadRows] = {};
  bool inside[kThreadRows];
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r) {
    const index_t i = row + tm + r * kThreadsM;
    inside[r] = i < kM;
#pragma unroll
    for (int c = 0; c < kThreadColumns; ++c) {
      const index_t j = column + tn + c * kThreadsN;
      if (i < kM && j < kN) seen[c][r] = finish(arguments, at, i, j, sums[r][c]);
    }
  }
  if constexpr (kStatistics) {
    Moments* const met = static_cast<Moments*>(shared_memory());  // no thread reads tiles any more
    for (int c = 0; c < kThreadColumns; ++c) {
      const index_t j = column + tn + c * kThreadsN;
      met[thread_index()] = moments_of<1>(seen[c], inside);
      block_barrier();
      if (tm == 0 && j < kN) parts_of(arguments, j)[row / kTileM] = combined(met + tn, kThreadsM, kThreadsN);
      block_barrier();
    }
  }
}

KILN_CONCLUDE
