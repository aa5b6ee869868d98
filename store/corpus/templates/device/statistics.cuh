// What a kernel sums up of its own results for the kernels after it: each part of a row leaves how many results it has,
// their sum, and the sum of the squares of what they differ from their mean by, so that nothing cancels however far
// from zero they lie (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
// variances", 1979). A part is at most a few hundred results; the parts of a row are put together in double precision
// by the launch after. Nothing is added atomically: every run gives the same.
struct Moments {
  f32 count, sum, squares;
};

// Of those of the values that count, over `lanes` neighbouring lanes; each of them gets the result.
template <int lanes, int values>
KILN_DEVICE Moments moments_of(const f32 (&x)[values], const bool (&counts)[values]) {
  f32 count = 0, sum = 0, squares = 0;
#pragma unroll
  for (int i = 0; i < values; ++i) {
    count += counts[i] ? 1.0f : 0.0f;
    sum += counts[i] ? x[i] : 0.0f;
  }
  count = reduce_lanes<Sum, lanes>(count);
  sum = reduce_lanes<Sum, lanes>(sum);
  const f32 mean = count > 0 ? sum / count : 0.0f;
#pragma unroll
  for (int i = 0; i < values; ++i) squares += counts[i] ? (x[i] - mean) * (x[i] - mean) : 0.0f;
  return {count, sum, reduce_lanes<Sum, lanes>(squares)};
}

// Of `count` parts that lie `stride` apart, together.
KILN_DEVICE Moments combined(const Moments* parts, int count, int stride) {
  Moments all = {0, 0, 0};
  for (int i = 0; i < count; ++i) {
    all.count += parts[i * stride].count;
    all.sum += parts[i * stride].sum;
  }
  const f32 mean = all.count > 0 ? all.sum / all.count : 0.0f;
  for (int i = 0; i < count; ++i) {
    const Moments part = parts[i * stride];
    if (part.count == 0) continue;
    const f32 beside = part.sum / part.count - mean;
    all.squares += part.squares + part.count * beside * beside;
  }
  return all;
}

// The sum of a row and of the squares about its mean.
struct Totals {
  f64 sum, squares;
};

// Over all threads of a block, of which each gets it; `slots` is one for each warp.
template <int threads>
KILN_DEVICE f64 block_sum(f64 x, Slot* slots, int thread) {
  x = reduce_lanes<Sum, 32>(x);
  if (thread % 32 == 0) put(slots + thread / 32, x);
  block_barrier();
  x = combine_slots<Sum, f64>(slots, threads / 32, 1);
  block_barrier();
  return x;
}

// Of a row of `length` results in `count` parts; all threads of the block take part, and get it.
template <int threads>
KILN_DEVICE Totals totals_of(const Moments* parts, i64 count, f64 length, Slot* slots, int thread) {
  f64 sum = 0, squares = 0;
  for (i64 i = thread; i < count; i += threads) sum += static_cast<f64>(parts[i].sum);
  sum = block_sum<threads>(sum, slots, thread);
  const f64 mean = sum / length;
  for (i64 i = thread; i < count; i += threads) {
    const Moments part = parts[i];
    if (part.count == 0) continue;
    const f64 of_part = static_cast<f64>(part.count);
    const f64 beside = static_cast<f64>(part.sum) / of_part - mean;
    squares += static_cast<f64>(part.squares) + of_part * beside * beside;
  }
  return {sum, block_sum<threads>(squares, slots, thread)};
}
