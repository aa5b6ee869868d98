// Data movement: a row's operands are read from memory once, by the first pass; the later passes find them in cache (or
// find what the first pass kept in scratch). Results are written once. The floor is bytes / bandwidth; rows with an
// exponential per element are limited by arithmetic while the buffers fit a cache. Means and variances take two passes,
// as the expression says, so nothing cancels.
//
// A sum is kept in kAccumulators vectors and combined as a tree: its error grows with length / (kAccumulators *
// kLanes).

template <class Pass>
inline void run_pass(const Row& at, Scalars& s, float* kept) {
  Pass part[kAccumulators];
  std::int64_t j = 0;
  for (; j + kAccumulators * kLanes <= kLength; j += kAccumulators * kLanes) {
#pragma GCC unroll 4
    for (int u = 0; u < kAccumulators; ++u) part[u].template step<kLanes>(at, s, kept, j + u * kLanes);
  }
  for (; j + kLanes <= kLength; j += kLanes) part[0].template step<kLanes>(at, s, kept, j);
  if constexpr (kLength % kLanes != 0) part[0].template step<kLength % kLanes>(at, s, kept, j);
#pragma GCC unroll 4
  for (int u = 1; u < kAccumulators; ++u) part[0].merge(part[u]);
  part[0].finish(at, s);
}

template <class... P>
inline void run_passes(PassList<P...>, const Row& at, Scalars& s, float* kept) {
  (run_pass<P>(at, s, kept), ...);
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const std::int64_t first = task->index * kRowsPerTask;
  const std::int64_t last = first + kRowsPerTask < kRows ? first + kRowsPerTask : kRows;
  for (std::int64_t row = first; row < last; ++row) {
    const Row at = row_at(args, row);
    Scalars s;
    start(at, s);
    run_passes(Passes{}, at, s, static_cast<float*>(task->scratch));
  }
}
