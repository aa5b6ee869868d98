// Data movement: an implicit matrix product. Rows are output channels of a group, columns the results of all images,
// and for each tap of the window kTileK input channels at a time go through shared memory: weights and the elements
// of x that the tap meets, zero in the padding. Each element of x is read once per tap and ceil(m / kTileM) times,
// from cache but for the first. Sums stay in registers and pass through the epilogue once. A transposed convolution
// goes phase by phase of its stride, so that nothing is multiplied by the zeros between elements. The floor is the
// FLOPs of plain multiply-adds: this is the template that is right everywhere, not the one that uses tensor cores.
// With kStatistics a tile's columns are of one image, and each warp leaves what its results of a channel come to.

constexpr int kAStride = kTileM + 1;
constexpr int kTileRows = kBlockThreads / kTileN;  // rows of x's tile that the block loads at once
static_assert(kBlockThreads % kTileN == 0, "a thread loads one column");
constexpr index_t kStretch = kColumns / kStretches;
constexpr index_t kTilesM = (kM + kTileM - 1) / kTileM, kTilesN = (kStretch + kTileN - 1) / kTileN;  // of a stretch
constexpr int kLanesN = kThreadsN < 32 ? kThreadsN : 32, kWarpsN = kThreadsN / kLanesN;  // of one row of the tile

// A column of the product: an image, and per dimension a number q that says which result of a phase.
struct Column {
  index_t image, q0, q1, q2;
  bool inside;
};
KILN_DEVICE Column column_of(index_t stretch, index_t of_stretch) {
  const index_t j = stretch * kStretch + of_stretch;
  return {j / kPhaseOut2 / kPhaseOut1 / kPhaseOut0, j / kPhaseOut2 / kPhaseOut1 % kPhaseOut0,
          j / kPhaseOut2 % kPhaseOut1, j % kPhaseOut2, of_stretch < kStretch};
}

KILN_ENTRY(KILN_LED) {
  Value* a_tile = static_cast<Value*>(shared_memory());
  Value* b_tile = a_tile + kTileK * kAStride;
  // Phases change fastest: their results are neighbours in memory.
  const index_t block = static_cast<index_t>(block_index());
  const int phase = static_cast<int>(block % kPhases);
  const index_t row = block / kPhases % kTilesM * kTileM, tile = block / kPhases / kTilesM;
  const index_t column = tile % kTilesN * kTileN;
  const index_t stretch = tile / kTilesN % kStretches, group = tile / kTilesN / kStretches;
  const Taps t0 = taps0(phase), t1 = taps1(phase), t2 = taps2(phase);
  const int thread = static_cast<int>(thread_index());
  const int tm = thread / kThreadsN, tn = thread % kThreadsN;
  const int loaded_column = thread % kTileN, loaded_row = thread / kTileN;
  const Column own = column_of(stretch, column + loaded_column);

  Value sums[kThreadRows][kThreadColumns] = {};
  for (int j0 = 0; j0 < t0.count; ++j0)
    for (int j1 = 0; j1 < t1.count; ++j1)
      for (int j2 = 0; j2 < t2.count; ++j2) {
        const index_t i0 = own.q0 * t0.along + t0.base + j0 * t0.next, i1 = own.q1 * t1.along + t1.base + j1 * t1.next;
        const index_t i2 = own.q2 * t2.along + t2.base + j2 * t2.next;
        const bool met = own.inside && i0 >= 0 && i0 < kIn0 && i1 >= 0 && i1 < kIn1 && i2 >= 0 && i2 < kIn2;
        const int k0 = t0.first + j0 * t0.step, k1 = t1.first + j1 * t1.step, k2 = t2.first + j2 * t2.step;
        for (index_t channel = 0; channel < kC; channel += kTileK) {
          for (int e = thread; e < kTileM * kTileK; e += kBlockThreads) {
            const int k = e % kTileK, m = e / kTileK;
            a_tile[k * kAStride + m] = row + m < kM && channel + k < kC
                                           ? load_w(arguments, group, row + m, channel + k, k0, k1, k2)
                                           : Value(0);
          }
#pragma unroll
          for (int k = 0; k < kTileK; k += kTileRows)
            if (k + loaded_row < kTileK)
              b_tile[(k + loaded_row) * kTileN + loaded_column] =
                  met && channel + k + loaded_row < kC
                      ? load_x(arguments, own.image, group, channel + k + loaded_row, i0, i1, i2)
                      : Value(0);
          block_barrier();
          add_products<kAStride, kTileN>(a_tile, b_tile, tm, tn, sums);
          block_barrier();
        }
      }
  f32 seen[kThreadRows][kThreadColumns] = {};
  bool inside[kThreadColumns];
#pragma unroll
  for (int c = 0; c < kThreadColumns; ++c) {
    const Column to = column_of(stretch, column + tn + c * kThreadsN);
    const index_t o0 = to.q0 * t0.results + t0.phase, o1 = to.q1 * t1.results + t1.phase;
    const index_t o2 = to.q2 * t2.results + t2.phase;
    inside[c] = to.inside && o0 < kOut0 && o1 < kOut1 && o2 < kOut2;
    if (!inside[c]) continue;
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) {
      const index_t m = row + tm + r * kThreadsM;
      if (m < kM) seen[r][c] = finish(arguments, to.image, group, m, o0, o1, o2, sums[r][c]);
    }
  }
  if constexpr (kStatistics) {
    const index_t part = (tile % kTilesN * kPhases + phase) * kWarpsN + tn / kLanesN;
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) {
      const index_t m = row + tm + r * kThreadsM;
      const Moments own = moments_of<kLanesN>(seen[r], inside);
      if (m < kM && tn % kLanesN == 0) parts_of(arguments, (stretch * kGroups + group) * kM + m)[part] = own;
    }
  }
}

KILN_CONCLUDE
