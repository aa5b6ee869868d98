// Data movement: the operand with many rows (or columns) streams from memory once, past the first-level cache; the
// other, of few, is read again for every kRows of those, from the caches. kRowThreads threads share kRows rows: each
// takes kVector neighbours along k of each of them, kUnroll of those at once, so that a block has kBlockThreads * kRows
// * kUnroll accesses in flight. Sums stay in registers over all of a block's part of k. The floor is the bytes of the
// large operand / bandwidth; with more than about eight of the few, multiply-adds take as long as that does. With
// kSplits blocks to a row, a second launch adds up what they leave.

constexpr int kGroups = kBlockThreads / kRowThreads;             // of threads that share rows
constexpr int kWarpLanes = kRowThreads < 32 ? kRowThreads : 32;  // of a warp that do
constexpr int kPieces = kRowThreads / kWarpLanes;                // warps that do
constexpr index_t kTileRows = kGroups * kRows;
constexpr index_t kTiles = (kMany + kTileRows - 1) / kTileRows;
constexpr index_t kVectors = kK / kVector;
constexpr index_t kShare = (kVectors + kSplits - 1) / kSplits;  // of a block
using Vector = Pack<Memory, kVector>;

// Adds the products of one vector of each row to the sums.
KILN_DEVICE void add_vectors(const Arguments& arguments, const Place& at, index_t p, const Vector (&x)[kRows],
                             Value (&sums)[kRows][kFew]) {
#pragma unroll
  for (int c = 0; c < kFew; ++c) {
    const Vector y = load_kept(arguments, at, c, p);
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int e = 0; e < kVector; ++e) sums[r][c] = fused(value_of(x[r].at[e]), value_of(y.at[e]), sums[r][c]);
  }
}

// The sums of the rows from `row` on over the vectors [begin, end) along k, of which this thread takes every
// kRowThreads-th. A row past the last one is the last one, and is not stored.
KILN_DEVICE void sum_rows(const Arguments& arguments, const Place& at, index_t row, index_t begin, index_t end,
                          Value (&sums)[kRows][kFew]) {
  index_t rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) rows[r] = row + r < kMany ? row + r : kMany - 1;
  index_t v = begin;
  for (; v + (kUnroll - 1) * kRowThreads < end; v += kUnroll * kRowThreads) {
    Vector x[kUnroll][kRows];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
#pragma unroll
      for (int r = 0; r < kRows; ++r) x[u][r] = load_streamed(arguments, at, rows[r], (v + u * kRowThreads) * kVector);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) add_vectors(arguments, at, (v + u * kRowThreads) * kVector, x[u], sums);
  }
  for (; v < end; v += kRowThreads) {
    Vector x[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) x[r] = load_streamed(arguments, at, rows[r], v * kVector);
    add_vectors(arguments, at, v * kVector, x, sums);
  }
}

KILN_ENTRY(KILN_LED) {
  const auto block = static_cast<index_t>(block_index());
  const int thread = static_cast<int>(thread_index()), split = static_cast<int>(block % kSplits);
  const index_t tile = block / kSplits % kTiles, batch = block / (kSplits * kTiles);
  const int group = thread / kRowThreads, lane = thread % kRowThreads;
  const Place at = place_of(batch);
  const index_t end = (split + 1) * kShare < kVectors ? (split + 1) * kShare : kVectors;
  Value sums[kRows][kFew] = {};
  sum_rows(arguments, at, tile * kTileRows + group * kRows, split * kShare + lane, end, sums);

  // Each warp's part of each result meets the others in shared memory: [group][row][few][piece].
  Value* const met = static_cast<Value*>(shared_memory());
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int c = 0; c < kFew; ++c) {
      const Value sum = reduce_lanes<Sum, kWarpLanes>(sums[r][c]);
      if (lane % kWarpLanes == 0) met[((group * kRows + r) * kFew + c) * kPieces + lane / kWarpLanes] = sum;
    }
  block_barrier();
  for (int e = thread; e < kTileRows * kFew; e += kBlockThreads) {
    const int r = e % static_cast<int>(kTileRows), c = e / static_cast<int>(kTileRows);
    Value sum = met[(r * kFew + c) * kPieces];
#pragma unroll
    for (int piece = 1; piece < kPieces; ++piece) sum += met[(r * kFew + c) * kPieces + piece];
    if (tile * kTileRows + r < kMany) leave_of(arguments, at, batch, split, tile * kTileRows + r, c, sum);
  }
}

KILN_CONCLUDE
