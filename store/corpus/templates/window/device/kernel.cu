// Data movement: a thread has kDown results below each other. Neighbouring threads have neighbouring columns, so that
// a warp reads whole cache lines. What lies along a row of x under the window is combined once and serves every
// result whose window covers that row. Taps that several threads share come from the first-level cache; the floor is
// x and the results once at memory bandwidth. Large windows and long strides are limited by cache lines per access
// instead.
// A window over fewer than three dimensions has leading dimensions of one element (0: depth, 1: rows, 2: columns).

constexpr index_t kRowGroups = (kOut1 + kDown - 1) / kDown;
constexpr index_t kThreads = kPlanes * kOut0 * kRowGroups * kOut2;

// The results so far of one window, or of one row under it; `place` is where the first extremum stands, -1 for none.
struct Running {
  Value value = Operation::template identity<Value>();
  i64 place = -1;

  KILN_DEVICE void take(Value next, i64 at) {
    if constexpr (kHasPlaces)
      if (at >= 0 && (place < 0 || next > value || (next != next && value == value))) place = at;
    value = Operation::of(value, next);
  }
};

// The taps along one row of x: `row` points at its beginning, which is element `place` of x counted dense.
KILN_DEVICE Running along_row(const Memory* row, i64 place, index_t first) {
  Running out;
#pragma unroll(kTaps2 <= 16 ? kTaps2 : 8)
  for (int t = 0; t < kTaps2; ++t) {
    const index_t column = first + t * kDilation2;
    if (column >= 0 && column < kIn2) out.take(value_of(row[column * kXStride2]), place + column);
  }
  return out;
}

// Where a thread's windows begin in a plane.
struct Corner {
  const Memory* plane;
  i64 place;  // of the plane's first element
  index_t depth, row, column;
};

// Adds a slice of x, `depth` deep, to the kDown windows below each other.
KILN_DEVICE void add_slice(const Corner& at, index_t depth, Running (&results)[kDown]) {
  const Memory* slice = at.plane + depth * kXStride0;
  const i64 place = at.place + static_cast<i64>(depth) * (static_cast<i64>(kIn1) * kIn2);
  const auto row_at = [&](index_t row) {
    return along_row(slice + row * kXStride1, place + static_cast<i64>(row) * kIn2, at.column);
  };
  if constexpr (kDown == 1) {
    for (int t = 0; t < kTaps1; ++t) {
      const index_t row = at.row + t * kDilation1;
      if (row < 0 || row >= kIn1) continue;
      const Running next = row_at(row);
      results[0].take(next.value, next.place);
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
      const Running next = row_at(row);
#pragma unroll
      for (int d = 0; d < kDown; ++d)
        if (covers(offset - d * kStride1)) results[d].take(next.value, next.place);
    }
  }
}

KILN_ENTRY(KILN_KERNEL) {
  const index_t thread = static_cast<index_t>(block_index()) * kBlockThreads + static_cast<index_t>(thread_index());
  if (thread >= kThreads) return;
  const index_t column = thread % kOut2, group = thread / kOut2 % kRowGroups;
  const index_t depth = thread / kOut2 / kRowGroups % kOut0, plane = thread / kOut2 / kRowGroups / kOut0;
  const Corner at = {input(arguments) + plane * kXPlane,
                     static_cast<i64>(plane) * (static_cast<i64>(kIn0) * kIn1 * kIn2),
                     depth * kStride0 - kBefore0,
                     group * kDown * kStride1 - kBefore1,
                     column * kStride2 - kBefore2};
  Running results[kDown];
  for (int t = 0; t < kTaps0; ++t) {
    const index_t d = at.depth + t * kDilation0;
    if (d >= 0 && d < kIn0) add_slice(at, d, results);
  }
#pragma unroll
  for (int d = 0; d < kDown; ++d) {
    const index_t row = group * kDown + d;
    if (row >= kOut1) continue;
    const index_t to = ((plane * kOut0 + depth) * kOut1 + row) * kOut2 + column;
    Value value = results[d].value;
    if constexpr (kMean)
      value = op_div(value, static_cast<Value>(counted0(at.depth) * counted1(at.row + d * kStride1) *
                                               counted2(at.column)));
    if constexpr (kHasValues) values(arguments)[to] = Element<Memory>::of(value);
    if constexpr (kHasPlaces) places(arguments)[to] = results[d].place;
  }
}
