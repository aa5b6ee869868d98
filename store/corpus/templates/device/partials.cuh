// What blocks that share a result leave of it in memory, for the launch behind them to add up: in the same order in
// every run, and without losing the digits that a sum of many parts would.

// Of `count` parts that lie `stride` apart, of which the lanes of a group of `lanes` take every `lanes`-th; each of
// them gets the sum. All threads of the warp take part.
template <int count, int lanes>
KILN_DEVICE f32 sum_of_parts(const f32* parts, i64 stride, int lane) {
  Compensated sum = {0, 0};
#pragma unroll 8
  for (int i = lane; i < count; i += lanes) sum = added(sum, {parts[i * stride], 0});
#pragma unroll
  for (int mask = lanes / 2; mask > 0; mask /= 2)
    sum = added(sum, {shuffle(sum.sum, static_cast<u32>(mask)), shuffle(sum.lost, static_cast<u32>(mask))});
  return sum_of(sum);
}
