// Data movement: the columns of x under a window are combined first. A thread has kVector neighbouring columns and
// reads them row by row, so that a warp reads whole cache lines whatever the step of the window, and rows that kDown
// results below each other share are read once. Then the columns go through shared memory, where each result takes
// its taps. Columns at the edge of a strip are read by two of them; rows that other results share come from cache.
// The floor is x and the results once at memory bandwidth.
// A window over fewer than three dimensions has leading dimensions of one element (0: depth, 1: rows, 2: columns).

constexpr int kStrips = kBlockThreads / kAcross;  // of a block
constexpr int kWidth = kAcross * kVector;         // columns of a strip
constexpr int kReach = (kTaps2 - 1) * kDilation2;
// Results of a strip: it begins at a whole vector, up to kVector - 1 columns before the first tap.
constexpr int kStripOut = (kWidth - (kVector - 1) - kReach - 1) / kStride2 + 1;
static_assert(kWidth - (kVector - 1) > kReach, "a strip holds a window");
constexpr index_t kTiles = (kOut2 + kStripOut - 1) / kStripOut, kRowGroups = (kOut1 + kDown - 1) / kDown;
constexpr index_t kAllStrips = kPlanes * kOut0 * kRowGroups * kTiles;

// Where a strip's windows begin: its plane, the first tap in each dimension, and its first column, a whole vector.
struct Strip {
  const Memory* plane;
  index_t depth, row, column, first_column;
};

// Adds a slice of x, `depth` deep, to this thread's columns.
KILN_DEVICE void add_slice(const Strip& at, index_t depth, index_t column, Value (&columns)[kDown][kVector]) {
  const Memory* slice = at.plane + depth * kXStride0 + column * kXStride2;
  const auto add_row = [&](index_t row, Value(&to)[kVector]) {
    const auto pack = load_pack<false, Memory, kVector>(slice + row * kXStride1);
#pragma unroll
    for (int e = 0; e < kVector; ++e) to[e] = Operation::of(to[e], static_cast<Value>(value_of(pack.at[e])));
  };
  if constexpr (kDown == 1) {
#pragma unroll(kTaps1 <= 16 ? kTaps1 : 8)
    for (int t = 0; t < kTaps1; ++t) {
      const index_t row = at.row + t * kDilation1;
      if (row >= 0 && row < kIn1) add_row(row, columns[0]);
    }
  } else {
    constexpr int kSpan = (kDown - 1) * kStride1 + (kTaps1 - 1) * kDilation1 + 1;
#pragma unroll
    for (int offset = 0; offset < kSpan; ++offset) {
      bool covered = false;
#pragma unroll
      for (int d = 0; d < kDown; ++d) covered = covered || covers(offset - d * kStride1);
      const index_t row = at.row + offset;
      if (!covered || row < 0 || row >= kIn1) continue;
      Value next[kVector];
#pragma unroll
      for (int e = 0; e < kVector; ++e) next[e] = Operation::template identity<Value>();
      add_row(row, next);
#pragma unroll
      for (int d = 0; d < kDown; ++d)
        if (covers(offset - d * kStride1))
#pragma unroll
          for (int e = 0; e < kVector; ++e) columns[d][e] = Operation::of(columns[d][e], next[e]);
    }
  }
}

KILN_ENTRY(KILN_KERNEL) {
  const int thread = static_cast<int>(thread_index());
  const int lane = thread % kAcross, own = thread / kAcross;
  const index_t strip = static_cast<index_t>(block_index()) * kStrips + own;
  const bool active = strip < kAllStrips;
  const index_t tile = strip % kTiles, group = strip / kTiles % kRowGroups;
  const index_t depth = strip / kTiles / kRowGroups % kOut0, plane = strip / kTiles / kRowGroups / kOut0;
  Strip at;
  at.plane = input(arguments) + (active ? plane * kXPlane : 0);
  at.depth = depth * kStride0 - kBefore0;
  at.row = group * kDown * kStride1 - kBefore1;
  at.column = tile * kStripOut * kStride2 - kBefore2;
  at.first_column = at.column - (at.column % kVector + kVector) % kVector;

  Value columns[kDown][kVector];
#pragma unroll
  for (int d = 0; d < kDown; ++d)
#pragma unroll
    for (int e = 0; e < kVector; ++e) columns[d][e] = Operation::template identity<Value>();
  // x ends with a whole vector, so that a vector lies inside or outside of it.
  const index_t column = at.first_column + lane * kVector;
  if (active && column >= 0 && column < kIn2)
    for (int t = 0; t < kTaps0; ++t) {
      const index_t d = at.depth + t * kDilation0;
      if (d >= 0 && d < kIn0) add_slice(at, d, column, columns);
    }
  Value* shared = static_cast<Value*>(shared_memory()) + own * (kDown * kWidth);
#pragma unroll
  for (int d = 0; d < kDown; ++d)
#pragma unroll
    for (int e = 0; e < kVector; ++e) shared[d * kWidth + lane * kVector + e] = columns[d][e];
  block_barrier();
  if (!active) return;

  const int shift = static_cast<int>(at.column - at.first_column);
#pragma unroll
  for (int d = 0; d < kDown; ++d) {
    const index_t row = group * kDown + d;
    if (row >= kOut1) continue;
    for (int o = lane; o < kStripOut; o += kAcross) {
      const index_t to = tile * kStripOut + o;
      if (to >= kOut2) break;
      const Value* taps = shared + d * kWidth + shift + o * kStride2;
      Value value = taps[0];
#pragma unroll(kTaps2 <= 16 ? kTaps2 : 8)
      for (int t = 1; t < kTaps2; ++t) value = Operation::of(value, taps[t * kDilation2]);
      if constexpr (kMean)
        value = op_div(value, static_cast<Value>(counted0(at.depth) * counted1(at.row + d * kStride1) *
                                                 counted2(at.column + o * kStride2)));
      values(arguments)[((plane * kOut0 + depth) * kOut1 + row) * kOut2 + to] = Element<Memory>::of(value);
    }
  }
}
