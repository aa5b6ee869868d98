// Data movement: for each row of results and each tap of the window, the part of a row of x that falls on results is
// combined with the row's running values, which stay in the first level of cache. Each element of x is read once per
// tap that covers it, from cache but for the first time; the floor is x and the results once. 16-bit floats are
// combined in float32 and rounded once.

// How many taps along dimension d count in the divisor of a mean for result `o`.
inline std::int64_t counted(std::size_t d, std::int64_t o) {
  std::int64_t count = 0;
  for (std::int64_t t = 0; t < kKernel[d]; ++t) {
    const std::int64_t place = o * kStrides[d] - kBefore[d] + t * kDilations[d];
    count += kCountsPadding ? place < kIn[d] + kAfter[d] : place >= 0 && place < kIn[d];
  }
  return count;
}

constexpr std::size_t kLast = kRank - 1;
constexpr std::int64_t kWidth = kOut[kLast];

struct Row {
  const Element* plane;
  std::int64_t plane_position;  // of its first element among all
  std::int64_t outer[kRank];    // results' indices along all dimensions but the last
  Value* values;
  std::int64_t* positions;
};

// The results of one tap: those of the row whose place lies inside x.
inline void add_tap(const Row& row, std::int64_t tap) {
  std::int64_t rest = tap / kKernel[kLast], offset = 0, dense = 0, scale = kIn[kLast];
  for (std::size_t d = kLast; d-- > 0;) {
    const std::int64_t place = row.outer[d] * kStrides[d] - kBefore[d] + rest % kKernel[d] * kDilations[d];
    rest /= kKernel[d];
    if (place < 0 || place >= kIn[d]) return;
    offset += place * kXStrides[d];
    dense += place * scale;
    scale *= kIn[d];
  }
  const std::int64_t first = tap % kKernel[kLast] * kDilations[kLast] - kBefore[kLast], stride = kStrides[kLast];
  const std::int64_t begin = first < 0 ? (-first + stride - 1) / stride : 0;
  const std::int64_t last = kIn[kLast] - 1 - first;  // o * stride <= last
  const std::int64_t end = last < 0 ? 0 : last / stride + 1 < kWidth ? last / stride + 1 : kWidth;
  const Element* x = row.plane + offset + first * kXStrides[kLast];
  for (std::int64_t o = begin; o < end; ++o) {
    const auto next = static_cast<Value>(x[o * stride * kXStrides[kLast]]);
    if constexpr (kHasPositions) {
      const Value best = row.values[o];
      if (row.positions[o] < 0 || next > best || (is_nan(next) && !is_nan(best)))
        row.positions[o] = row.plane_position + dense + first + o * stride;
    }
    row.values[o] = combined(row.values[o], next);
  }
}

inline void finish(void* const* args, const Row& row, std::int64_t first) {
  std::int64_t divisor = 1;
  if constexpr (kMonoid == Monoid::mean)
    for (std::size_t d = 0; d < kLast; ++d) divisor *= counted(d, row.outer[d]);
  for (std::int64_t o = 0; o < kWidth; ++o) {
    if constexpr (kHasPositions) positions(args)[first + o] = row.positions[o];
    if constexpr (kHasValues) {
      Value value = row.values[o];
      if constexpr (kMonoid == Monoid::mean) {
        const auto count = static_cast<Value>(divisor * counted(kLast, o));
        value = std::is_floating_point_v<Value> ? value / count : divide(value, count);  // of no elements: NaN, or 0
      }
      values(args)[first + o] = static_cast<Element>(value);
    }
  }
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  std::int64_t taps = 1, rows = 1, plane = 1;
  for (std::size_t d = 0; d < kRank; ++d) {
    taps *= kKernel[d];
    plane *= kIn[d];
    if (d < kLast) rows *= kOut[d];
  }
  const std::int64_t all = kOuter * rows, last = (task->index + 1) * kRowsPerTask;
  Row row;
  row.positions = static_cast<std::int64_t*>(task->scratch);
  row.values = reinterpret_cast<Value*>(row.positions + (kHasPositions ? kWidth : 0));
  for (std::int64_t r = task->index * kRowsPerTask; r < (last < all ? last : all); ++r) {
    std::int64_t rest = r % rows;
    for (std::size_t d = kLast; d-- > 0; rest /= kOut[d]) row.outer[d] = rest % kOut[d];
    row.plane = input(args) + r / rows * kXOuter;
    row.plane_position = r / rows * plane;
    for (std::int64_t o = 0; o < kWidth; ++o) row.values[o] = initial();
    if constexpr (kHasPositions)
      for (std::int64_t o = 0; o < kWidth; ++o) row.positions[o] = -1;
    for (std::int64_t tap = 0; tap < taps; ++tap) add_tap(row, tap);
    finish(args, row, r * kWidth);
  }
}
