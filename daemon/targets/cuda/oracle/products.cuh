// Matrix products, the scores of attention, convolutions, windows.

// A block makes tiles of 64 x 64 elements; each thread those of every sixteenth row and column, each in order of k.
template <class T>
KILN_DEVICE void matmul(const ProductArguments& given) {
  constexpr i64 kApart = 16, kTile = 64;
  constexpr int kEach = 4;
  const i64 down = (given.m + kTile - 1) / kTile, across = (given.n + kTile - 1) / kTile;
  for (i64 tile = block_index(); tile < given.batches * down * across; tile += block_count()) {
    const i64 batch = tile / (down * across);
    const i64 row = tile / across % down * kTile + thread_index() / kApart;
    const i64 column = tile % across * kTile + thread_index() % kApart;
    if (row >= given.m || column >= given.n) continue;
    const T* a = static_cast<const T*>(given.a) + offset_of(batch, given.rank, given.extent, given.a_stride);
    const T* b = static_cast<const T*>(given.b) + offset_of(batch, given.rank, given.extent, given.b_stride);
    i64 of_a[kEach], of_b[kEach];  // beside the matrix: its last row or column, whose result is not stored
    for (int i = 0; i < kEach; ++i) {
      of_a[i] = lesser(row + i * kApart, given.m - 1) * given.a_row;
      of_b[i] = lesser(column + i * kApart, given.n - 1) * given.b_column;
    }
    T value[kEach][kEach] = {};
    for (i64 k = 0; k < given.k; ++k, a += given.a_column, b += given.b_row) {
      T left[kEach], right[kEach];
      for (int i = 0; i < kEach; ++i) {
        left[i] = a[of_a[i]];
        right[i] = b[of_b[i]];
      }
      for (int i = 0; i < kEach; ++i)
        for (int j = 0; j < kEach; ++j) value[i][j] = multiply_add(left[i], right[j], value[i][j]);
    }
    T* c = static_cast<T*>(given.c) + (batch * given.m + row) * given.n + column;
    for (int i = 0; i < kEach; ++i)
      for (int j = 0; j < kEach; ++j)
        if (row + i * kApart < given.m && column + j * kApart < given.n)
          c[i * kApart * given.n + j * kApart] = rounded(value[i][j], given.type);
  }
}
KILN_KERNELS(matmul, ProductArguments)

template <class T>
KILN_DEVICE void scores(const ScoreArguments& given) {
  for (i64 i = first_index(); i < given.count; i += index_step()) {
    T& score = static_cast<T*>(given.x)[i];
    const i64 column = i % given.t, row = i / given.t % given.s;
    score *= static_cast<T>(given.scale);
    if (given.mask)
      score += static_cast<const T*>(given.mask)[offset_of(i, given.rank, given.extent, given.mask_stride)];
    if (given.causal && column > row + (given.t - given.s)) score = static_cast<T>(-given.infinity);
  }
}
// In place: what is not a number is 0.
template <class T>
KILN_DEVICE void guard(const ScoreArguments& given) {
  for (i64 i = first_index(); i < given.count; i += index_step()) {
    T& weight = static_cast<T*>(given.x)[i];
    if (!(weight == weight)) weight = 0;
  }
}
namespace scores_kernels {
using Arguments = ScoreArguments;
KILN_ENTRY(scores_f64) { scores<f64>(arguments); }
KILN_ENTRY(scores_f32) { scores<f32>(arguments); }
KILN_ENTRY(guard_f64) { guard<f64>(arguments); }
KILN_ENTRY(guard_f32) { guard<f32>(arguments); }
}  // namespace scores_kernels

// A place of a space, by its row-major number.
struct Place {
  i64 at[kSpace];
};
KILN_DEVICE Place place_of(i64 index, const Int* extent) {
  Place place;
  for (int d = kSpace; d-- > 0; index /= extent[d]) place.at[d] = index % extent[d];
  return place;
}
KILN_DEVICE i64 count_of(const Int* extent) {
  i64 count = 1;
  for (int d = 0; d < kSpace; ++d) count *= extent[d];
  return count;
}
// Where in x the tap of the window of `out` is; -1 beside it.
KILN_DEVICE i64 tap_of(const Space& space, const Place& out, const Place& tap) {
  i64 offset = 0;
  for (int d = 0; d < kSpace; ++d) {
    const i64 at = out.at[d] * space.stride[d] + tap.at[d] * space.dilation[d] - space.before[d];
    if (at < 0 || at >= space.in[d]) return -1;
    offset = offset * space.in[d] + at;
  }
  return offset;
}
// Which element of x the tap of a transposed convolution brings to `out`; -1: none.
KILN_DEVICE i64 source_of(const Space& space, const Place& out, const Place& tap) {
  i64 offset = 0;
  for (int d = 0; d < kSpace; ++d) {
    const i64 scaled = out.at[d] + space.before[d] - tap.at[d] * space.dilation[d];
    const i64 at = scaled / space.stride[d];
    if (scaled < 0 || scaled % space.stride[d] != 0 || at >= space.in[d]) return -1;
    offset = offset * space.in[d] + at;
  }
  return offset;
}

// A thread makes elements of up to four neighbouring channels at one place, each in order of three taps, input channel
// and tap: they share what is read of x, and where it is.
template <class T>
KILN_DEVICE void convolution(const ConvolutionArguments& given) {
  constexpr int kEach = kChannelsOfThread, kTaps = 3;
  const i64 inside = count_of(given.space.in), outside = count_of(given.space.out), taps = count_of(given.space.kernel);
  const i64 stacks = (given.out_channels + kEach - 1) / kEach;
  // Of w between channels of the output and of the input.
  const i64 across = given.transposed ? taps : given.in_channels * taps;
  const i64 deep = given.transposed ? given.out_channels * taps : taps;
  for (i64 i = first_index(); i < given.images * given.groups * stacks * outside; i += index_step()) {
    const Place out = place_of(i % outside, given.space.out);
    const i64 first = i / outside % stacks * kEach, plane = i / outside / stacks, group = plane % given.groups;
    const T* const x = static_cast<const T*>(given.x) + plane * given.in_channels * inside;
    const T* const w =
        static_cast<const T*>(given.w) + group * given.in_channels * given.out_channels * taps + first * across;
    i64 of_w[kEach];  // behind the last channel: that one, whose result is not stored again
    for (int o = 0; o < kEach; ++o) of_w[o] = lesser(i64(o), given.out_channels - 1 - first) * across;
    T value[kEach] = {};
    for (i64 t = 0; t < taps; t += kTaps) {  // neighbouring taps read what is in the first-level cache by then
      i64 at[kTaps];
      for (int u = 0; u < kTaps; ++u) {
        const Place tap = place_of(t + u, given.space.kernel);
        at[u] = t + u >= taps       ? -1
                : given.transposed ? source_of(given.space, out, tap)
                                   : tap_of(given.space, out, tap);
      }
      const T *from = x, *weight = w + t;
      for (i64 c = 0; c < given.in_channels; ++c, from += inside, weight += deep)
        for (int u = 0; u < kTaps; ++u) {
          if (at[u] < 0) continue;
          const T read = from[at[u]];
          for (int o = 0; o < kEach; ++o) value[o] = multiply_add(read, weight[of_w[o] + u], value[o]);
        }
    }
    T* y = static_cast<T*>(given.y) + (plane * given.out_channels + first) * outside + i % outside;
    for (int o = 0; o < kEach; ++o)
      if (first + o < given.out_channels) y[o * outside] = rounded(value[o], given.type);
  }
}
KILN_KERNELS(convolution, ConvolutionArguments)

// What a mean is divided by: taps inside x, or inside x with its padding.
KILN_DEVICE i64 divisor_of(const WindowArguments& given, const Place& out, i64 found) {
  if (!given.counts_padding) return found;
  i64 counted = 1;
  for (int d = 0; d < kSpace; ++d) {
    const Space& s = given.space;
    i64 taps = 0;
    for (i64 t = 0; t < s.kernel[d]; ++t)
      taps += out.at[d] * s.stride[d] - s.before[d] + t * s.dilation[d] < s.in[d] + s.after[d] ? 1 : 0;
    counted *= taps;
  }
  return counted;
}

KILN_DEVICE i64 divided(i64 value, i64 divisor) { return divisor == 0 ? 0 : value / divisor; }
KILN_DEVICE f32 divided(f32 value, i64 divisor) { return value / static_cast<f32>(divisor); }
KILN_DEVICE f64 divided(f64 value, i64 divisor) { return value / static_cast<f64>(divisor); }

template <class T>
KILN_DEVICE void window(const WindowArguments& given) {
  const i64 inside = count_of(given.space.in), outside = count_of(given.space.out), taps = count_of(given.space.kernel);
  for (i64 i = first_index(); i < given.planes * outside; i += index_step()) {
    const Place out = place_of(i % outside, given.space.out);
    const i64 base = i / outside * inside;
    T value = initial<T>(given.monoid, given.infinity);
    i64 found = 0, best = -1;
    for (i64 t = 0; t < taps; ++t) {
      const i64 at = tap_of(given.space, out, place_of(t, given.space.kernel));
      if (at < 0) continue;
      ++found;
      const T next = combine(given.monoid, value, static_cast<const T*>(given.x)[base + at]);
      if (best < 0 || next > value || (next != next && value == value)) best = base + at;
      value = next;
    }
    if (given.monoid == monoid_mean) value = divided(value, divisor_of(given, out, found));
    static_cast<T*>(given.y)[i] = rounded(value, given.type);
    if (given.positions) given.positions[i] = best;
  }
}
KILN_KERNELS(window, WindowArguments)
