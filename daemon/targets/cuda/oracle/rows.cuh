// Reductions, what is made of them, and what goes along one dimension.

template <class T>
KILN_DEVICE T mapped(const FoldArguments& given, T x, T base) {
  if (given.map == map_exp_minus) return exponential(x - base);
  if (given.map == map_exp_minus_finite) return exponential(x - (base - base == T(0) ? base : T(0)));
  if (given.map == map_squared_difference) return (x - base) * (x - base);
  return x;
}

template <class T>
KILN_DEVICE void fold(const FoldArguments& given) {
  const T* x = static_cast<const T*>(given.x);
  for (i64 i = first_index(); i < given.rows * given.runs; i += index_step()) {
    const i64 row = i % given.rows, run = i / given.rows;
    const i64 start = offset_of(row, given.row_rank, given.row_extent, given.row_stride);
    const T base = given.base ? static_cast<const T*>(given.base)[row] : T(0);
    const i64 begin = run * given.run, end = begin + given.run < given.length ? begin + given.run : given.length;
    T value = initial<T>(given.monoid, given.infinity);
    for (i64 j = begin; j < end; ++j) {
      const T next = x[start + offset_of(j, given.rank, given.extent, given.stride)];
      value = combine(given.monoid, value, mapped(given, next, base));
    }
    if (given.divisor > 0) value = value / static_cast<T>(given.divisor);
    static_cast<T*>(given.y)[row * given.runs + run] = rounded(value, given.type);
  }
}
KILN_KERNELS(fold, FoldArguments)

template <class T>
KILN_DEVICE T of_row(const RowArguments& given, i64 i) {
  const i64 row = offset_of(i, given.rank, given.extent, given.row_stride);
  const T first = given.first ? static_cast<const T*>(given.first)[row] : T(0);
  const T second = static_cast<const T*>(given.second)[row];
  if (given.kind == row_log_sum_exp) return real_log(second) + (first - first == T(0) ? first : T(0));
  const T x = static_cast<const T*>(given.x)[i];
  if (given.kind == row_softmax) return exponential(x - first) / second;
  if (given.kind == row_log_softmax) return (x - first) - real_log(second);
  const T deviation = real_sqrt(second / static_cast<T>(given.length) + static_cast<T>(given.epsilon));
  const T scale = static_cast<const T*>(given.scale)[offset_of(i, given.rank, given.extent, given.scale_stride)];
  const T y = (x - first) / deviation * scale;
  if (!given.bias) return y;
  return y + static_cast<const T*>(given.bias)[offset_of(i, given.rank, given.extent, given.bias_stride)];
}
template <class T>
KILN_DEVICE void rows(const RowArguments& given) {
  for (i64 i = first_index(); i < given.count; i += index_step())
    static_cast<T*>(given.y)[i] = rounded(of_row<T>(given, i), given.type);
}
namespace rows_kernels {
using Arguments = RowArguments;
KILN_ENTRY(rows_f64) { rows<f64>(arguments); }
KILN_ENTRY(rows_f32) { rows<f32>(arguments); }
}  // namespace rows_kernels

KILN_CALL i64 start_of(i64 line, i64 length, i64 inner) { return line / inner * length * inner + line % inner; }

template <class T>
KILN_DEVICE void scan(const ScanArguments& given) {
  for (i64 line = first_index(); line < given.lines; line += index_step()) {
    const i64 start = start_of(line, given.length, given.inner);
    T value = initial<T>(given.monoid, given.infinity);
    for (i64 step = 0; step < given.length; ++step) {
      const i64 at = start + (given.reverse ? given.length - 1 - step : step) * given.inner;
      const T before = value;
      value = combine(given.monoid, value, static_cast<const T*>(given.x)[at]);
      static_cast<T*>(given.y)[at] = rounded(given.exclusive ? before : value, given.type);
    }
  }
}
KILN_KERNELS(scan, ScanArguments)

// Whether a comes before b in the order from the best on; NaN is beyond every number.
template <class T>
KILN_DEVICE bool better(bool largest, T a, T b) {
  if (b != b) return false;
  if (a != a) return true;
  return largest ? a > b : a < b;
}

template <class T>
KILN_DEVICE void arg(const ArgArguments& given) {
  for (i64 line = first_index(); line < given.lines; line += index_step()) {
    const T* x = static_cast<const T*>(given.x) + start_of(line, given.length, given.inner);
    i64 best = 0;
    for (i64 i = 1; i < given.length; ++i) {
      const T now = x[i * given.inner], old = x[best * given.inner];
      if (better<T>(given.largest != 0, now, old) || (given.last != 0 && !better<T>(given.largest != 0, old, now)))
        best = i;
    }
    given.y[line] = best;
  }
}
KILN_KERNELS(arg, ArgArguments)

// Each of the k places is the best of those that come after the one before.
template <class T>
KILN_DEVICE void top(const TopArguments& given) {
  const bool largest = given.largest != 0;
  for (i64 line = first_index(); line < given.lines; line += index_step()) {
    const T* x = static_cast<const T*>(given.x) + start_of(line, given.length, given.inner);
    const i64 to = start_of(line, given.k, given.inner);
    i64 before = -1;
    for (i64 place = 0; place < given.k; ++place) {
      i64 best = -1;
      for (i64 i = 0; i < given.length; ++i) {
        const T now = x[i * given.inner];
        if (before >= 0) {
          const T last = x[before * given.inner];
          if (better<T>(largest, now, last) || (!better<T>(largest, last, now) && i <= before)) continue;
        }
        if (best < 0 || better<T>(largest, now, x[best * given.inner])) best = i;
      }
      static_cast<T*>(given.y)[to + place * given.inner] = x[best * given.inner];
      given.places[to + place * given.inner] = before = best;
    }
  }
}
KILN_KERNELS(top, TopArguments)
