// Data movement: tiles of A and B go through shared memory, kTileK columns and rows at a time: the next ones come from
// memory into registers while the ones before are multiplied, and one barrier a step lets two buffers take turns. Each
// element of A is read ceil(n / kTileN) times and each of B ceil(m / kTileM) times, from the second-level cache where
// the blocks of one part of k are at work together, which is why these are neighbours. Where tiles do not fill the GPU,
// kSplits blocks share k, and a second launch adds up what each leaves: kSplits * m * n floats, written and read. The
// floor is 2 m n k / the FLOP/s of plain multiply-adds.

constexpr int kThreadsM = kTileM / kThreadRows, kThreadsN = kTileN / kThreadColumns;
constexpr int kBlockThreads = kThreadsM * kThreadsN;
constexpr int kAStride = kTileM + 4, kBStride = kTileN + 4;  // rows of a tile begin at 16 bytes, in other banks
constexpr index_t kTilesM = (kM + kTileM - 1) / kTileM, kTilesN = (kN + kTileN - 1) / kTileN;
constexpr index_t kSteps = (kK + kTileK - 1) / kTileK;
constexpr index_t kShare = (kSteps + kSplits - 1) / kSplits * kTileK;  // of a block, whole steps
using Four = Pack<Value, 4>;

// One step's elements of both operands that a thread brings.
struct Brought {
  static constexpr int kOfA = kTileM * kTileK / kBlockThreads, kOfB = kTileN * kTileK / kBlockThreads;
  Value a[kOfA], b[kOfB];
};

// Where element e of a tile lies: neighbouring threads take neighbours in memory, whichever way the matrix lies.
KILN_DEVICE int k_of_a(int e) { return kAColumn == 1 ? e % kTileK : e / kTileM; }
KILN_DEVICE int row_of_a(int e) { return kAColumn == 1 ? e / kTileK : e % kTileM; }
KILN_DEVICE int k_of_b(int e) { return kBColumn == 1 ? e / kTileN : e % kTileK; }
KILN_DEVICE int column_of_b(int e) { return kBColumn == 1 ? e % kTileN : e / kTileK; }

KILN_DEVICE void bring(const Arguments& arguments, const Place& at, index_t row, index_t column, index_t p,
                       Brought& brought) {
  const int thread = static_cast<int>(thread_index());
#pragma unroll
  for (int i = 0; i < Brought::kOfA; ++i) {
    const index_t m = row + row_of_a(thread + i * kBlockThreads), k = p + k_of_a(thread + i * kBlockThreads);
    const bool inside = (kM % kTileM == 0 || m < kM) && (kK % kTileK == 0 || k < kK);
    brought.a[i] = inside ? load_a(arguments, at, m, k) : Value(0);
  }
#pragma unroll
  for (int i = 0; i < Brought::kOfB; ++i) {
    const index_t n = column + column_of_b(thread + i * kBlockThreads), k = p + k_of_b(thread + i * kBlockThreads);
    const bool inside = (kN % kTileN == 0 || n < kN) && (kK % kTileK == 0 || k < kK);
    brought.b[i] = inside ? load_b(arguments, at, k, n) : Value(0);
  }
}

// Into [k][row] and [k][column] of shared memory.
KILN_DEVICE void stage(const Brought& brought, Value* a_tile, Value* b_tile) {
  const int thread = static_cast<int>(thread_index());
#pragma unroll
  for (int i = 0; i < Brought::kOfA; ++i)
    a_tile[k_of_a(thread + i * kBlockThreads) * kAStride + row_of_a(thread + i * kBlockThreads)] = brought.a[i];
#pragma unroll
  for (int i = 0; i < Brought::kOfB; ++i)
    b_tile[k_of_b(thread + i * kBlockThreads) * kBStride + column_of_b(thread + i * kBlockThreads)] = brought.b[i];
}

// A thread's rows and columns are fours of neighbours, which one access takes, a tile's threads apart.
KILN_DEVICE int row_of(int tm, int r) { return r / 4 * (4 * kThreadsM) + 4 * tm + r % 4; }
KILN_DEVICE int column_of(int tn, int c) { return c / 4 * (4 * kThreadsN) + 4 * tn + c % 4; }

KILN_DEVICE void add_step(const Value* a_tile, const Value* b_tile, int tm, int tn,
                          Value (&sums)[kThreadRows][kThreadColumns]) {
#pragma unroll
  for (int k = 0; k < kTileK; ++k) {
    Four a[kThreadRows / 4], b[kThreadColumns / 4];
#pragma unroll
    for (int r = 0; r < kThreadRows; r += 4)
      a[r / 4] = *reinterpret_cast<const Four*>(a_tile + k * kAStride + row_of(tm, r));
#pragma unroll
    for (int c = 0; c < kThreadColumns; c += 4)
      b[c / 4] = *reinterpret_cast<const Four*>(b_tile + k * kBStride + column_of(tn, c));
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r)
#pragma unroll
      for (int c = 0; c < kThreadColumns; ++c) sums[r][c] = fused(a[r / 4].at[r % 4], b[c / 4].at[c % 4], sums[r][c]);
  }
}

KILN_ENTRY(KILN_LED) {
  Value* const tiles = static_cast<Value*>(shared_memory());
  constexpr int kBuffer = kTileK * (kAStride + kBStride), kOfB = kTileK * kAStride;
  const auto block = static_cast<index_t>(block_index());
  const index_t row = block / kTilesN % kTilesM * kTileM, column = block % kTilesN * kTileN;
  const int split = static_cast<int>(block / (kTilesM * kTilesN) % kSplits);
  const index_t batch = block / (kTilesM * kTilesN * kSplits);
  const Place at = place_of(batch);
  const int tm = static_cast<int>(thread_index()) / kThreadsN, tn = static_cast<int>(thread_index()) % kThreadsN;
  const index_t begin = split * kShare, end = begin + kShare < kK ? begin + kShare : kK;
  Value sums[kThreadRows][kThreadColumns] = {};
  Brought brought;
  if (begin < end) {
    bring(arguments, at, row, column, begin, brought);
    stage(brought, tiles, tiles + kOfB);
    block_barrier();
  }
  int turn = 0;
  for (index_t p = begin; p < end; p += kTileK) {
    const bool more = p + kTileK < end;
    if (more) bring(arguments, at, row, column, p + kTileK, brought);
    add_step(tiles + turn * kBuffer, tiles + turn * kBuffer + kOfB, tm, tn, sums);
    turn = 1 - turn;
    if (more) stage(brought, tiles + turn * kBuffer, tiles + turn * kBuffer + kOfB);
    block_barrier();
  }
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r)
#pragma unroll
    for (int c = 0; c < kThreadColumns; ++c) {
      const index_t i = row + row_of(tm, r), j = column + column_of(tn, c);
      if (i < kM && j < kN) leave(arguments, at, batch, split, i, j, sums[r][c]);
    }
}

KILN_CONCLUDE
