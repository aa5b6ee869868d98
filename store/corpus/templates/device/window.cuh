// What the templates of windows share: which taps of a dimension count in the divisor of a mean.

// Whether every window of a dimension lies inside what counts: x, or x and its padding.
constexpr bool all_taps_count(bool padding_counts, i64 results, i64 stride, i64 before, i64 reach, i64 extent,
                              i64 after) {
  return (padding_counts || before == 0) &&
         (results - 1) * stride - before + reach < extent + (padding_counts ? after : 0);
}

// How many taps of a window that begins at `first` count.
template <bool padding_counts, class Index>
KILN_DEVICE int counted_taps(Index first, int taps, int dilation, Index extent, Index after) {
  int count = 0;
  for (int t = 0; t < taps; ++t) {
    const Index place = first + static_cast<Index>(t) * dilation;
    count += padding_counts ? place < extent + after : place >= 0 && place < extent;
  }
  return count;
}
