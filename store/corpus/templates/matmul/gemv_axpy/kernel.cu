// Data movement: the operand with many columns (or rows) streams from memory once, past the first-level cache. A thread
// has kVector neighbours of those, and adds up a multiple of them for each index of k that its block's group of
// kAcrossThreads has; kUnroll of these, one after another along k, are in flight. The multiples, of the operand of few,
// are the same for all threads of the group, kUnroll in one access where they lie so, from the caches. Groups meet in
// shared memory at the end, and with kSplits blocks to a column a second launch adds up what those leave. The floor is
// the bytes of the large operand / bandwidth; with more than about eight of the few, multiply-adds take as long as that
// does.

constexpr int kGroups = kBlockThreads / kAcrossThreads;  // of threads that share columns
constexpr int kTileColumns = kAcrossThreads * kVector;
constexpr index_t kTiles = (kMany + kTileColumns - 1) / kTileColumns;
constexpr index_t kUnrolls = (kK + kUnroll - 1) / kUnroll;
constexpr index_t kShare = (kUnrolls + kSplits - 1) / kSplits * kUnroll;  // of a block, whole vectors of the few
using Vector = Pack<Memory, kVector>;

// Adds the multiples of one vector.
KILN_DEVICE void add_multiples(const Vector& x, const Value (&y)[kFew], Value (&sums)[kFew][kVector]) {
#pragma unroll
  for (int c = 0; c < kFew; ++c)
#pragma unroll
    for (int e = 0; e < kVector; ++e) sums[c][e] = fused(value_of(x.at[e]), y[c], sums[c][e]);
}

// The sums of the columns from `column` on over [begin, end) of k, of which the group takes every kGroups-th kUnroll.
KILN_DEVICE void sum_columns(const Arguments& arguments, const Place& at, index_t column, int group, index_t begin,
                             index_t end, Value (&sums)[kFew][kVector]) {
  index_t p = begin + group * kUnroll;
  for (; p + kUnroll <= end; p += kUnroll * kGroups) {
    Vector x[kUnroll];
    Pack<Memory, kUnroll> y[kFew];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) x[u] = load_streamed(arguments, at, column, p + u);
#pragma unroll
    for (int c = 0; c < kFew; ++c) y[c] = load_kept(arguments, at, c, p);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      Value of_u[kFew];
#pragma unroll
      for (int c = 0; c < kFew; ++c) of_u[c] = value_of(y[c].at[u]);
      add_multiples(x[u], of_u, sums);
    }
  }
  for (; p < end; ++p) {  // fewer than kUnroll, of the last group that has any
    Value y[kFew];
#pragma unroll
    for (int c = 0; c < kFew; ++c) y[c] = kept_value(arguments, at, c, p);
    add_multiples(load_streamed(arguments, at, column, p), y, sums);
  }
}

KILN_ENTRY(KILN_LED) {
  const auto block = static_cast<index_t>(block_index());
  const int thread = static_cast<int>(thread_index()), split = static_cast<int>(block % kSplits);
  const index_t tile = block / kSplits % kTiles, batch = block / (kSplits * kTiles);
  const int group = thread / kAcrossThreads, lane = thread % kAcrossThreads;
  const Place at = place_of(batch);
  const index_t first = tile * kTileColumns, own = first + lane * kVector;
  const index_t end = (split + 1) * kShare < kK ? (split + 1) * kShare : kK;
  Value sums[kFew][kVector] = {};
  // Columns past the last ones are the last ones, and are not stored.
  sum_columns(arguments, at, own < kMany ? own : kMany - kVector, group, split * kShare, end, sums);

  Value* const met = static_cast<Value*>(shared_memory());  // [group][column]
#pragma unroll
  for (int c = 0; c < kFew; ++c) {
#pragma unroll
    for (int e = 0; e < kVector; ++e) met[group * kTileColumns + lane * kVector + e] = sums[c][e];
    block_barrier();
    for (int column = thread; column < kTileColumns; column += kBlockThreads) {
      Value sum = met[column];
#pragma unroll
      for (int g = 1; g < kGroups; ++g) sum += met[g * kTileColumns + column];
      if (first + column < kMany) leave_of(arguments, at, batch, split, first + column, c, sum);
    }
    if (c + 1 < kFew) block_barrier();
  }
}

KILN_CONCLUDE
