// Data movement: a row's operands are read from memory once, by the first pass; the later passes find them in cache (or
// find what the first pass kept in scratch). Results are written once. The floor is bytes / bandwidth; rows with an
// exponential per element are limited by arithmetic while the buffers fit a cache. Means and variances take two passes,
// as the expression says, so nothing cancels.
//
// A sum is kept in kAccumulators vectors and combined as a tree: its error grows with length / (kAccumulators *
// kLanes).

// Memory is asked for in every pass: the first one for where this row is written, the second for the next row.
enum class Asks { nothing, results, next_row };

template <Asks asks>
inline void ask(const Row& at, const Row& next, std::int64_t j) {
  constexpr int locality = 4 - static_cast<int>(kFetch);  // the builtin's is 3 for the first level
  if constexpr (kFetch > 0)
#pragma GCC unroll 8
    for (std::int64_t u = 0; u < kAccumulators * kLanes; u += 16) {
      if constexpr (asks == Asks::results) claim<locality>(at, j + u);
      if constexpr (asks == Asks::next_row) fetch<locality>(next, j + u);
    }
}

template <class Pass, Asks asks>
inline void run_pass(const Row& at, const Row& next, Scalars& s, float* kept) {
  Pass part[kAccumulators];
  std::int64_t j = 0;
  for (; j + kAccumulators * kLanes <= kLength; j += kAccumulators * kLanes) {
    ask<asks>(at, next, j);
#pragma GCC unroll 4
    for (int u = 0; u < kAccumulators; ++u) part[u].template step<kLanes>(at, s, kept, j + u * kLanes);
  }
  for (; j + kLanes <= kLength; j += kLanes) part[0].template step<kLanes>(at, s, kept, j);
  if constexpr (kLength % kLanes != 0) part[0].template step<kLength % kLanes>(at, s, kept, j);
#pragma GCC unroll 4
  for (int u = 1; u < kAccumulators; ++u) part[0].merge(part[u]);
  part[0].finish(at, s);
}

template <class First>
inline void run_passes(PassList<First>, const Row& at, const Row& next, Scalars& s, float* kept) {
  run_pass<First, Asks::nothing>(at, next, s, kept);
}

template <class First, class Second, class... Rest>
inline void run_passes(PassList<First, Second, Rest...>, const Row& at, const Row& next, Scalars& s, float* kept) {
  run_pass<First, Asks::results>(at, next, s, kept);
  run_pass<Second, Asks::next_row>(at, next, s, kept);
  (run_pass<Rest, Asks::nothing>(at, next, s, kept), ...);
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const std::int64_t first = task->index * kRowsPerTask;
  const std::int64_t last = first + kRowsPerTask < kRows ? first + kRowsPerTask : kRows;
  for (std::int64_t row = first; row < last; ++row) {
    const Row at = row_at(args, row), next = row_at(args, row + 1 < kRows ? row + 1 : row);
    Scalars s;
    start(at, s);
    run_passes(Passes{}, at, next, s, static_cast<float*>(task->scratch));
  }
}
