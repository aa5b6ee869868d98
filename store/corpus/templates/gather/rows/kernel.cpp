// Data movement: the selected rows are read once, each operand of the expression once, each result written once. The
// floor is those bytes at memory bandwidth; what limits in practice is the latency of the first line of each row, as
// the order of rows is known only from the indices, so those lines are prefetched kPrefetchRows ahead.

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const std::int64_t total = kOuter * kIndexCount;
  const std::int64_t first = task->index * kRowsPerTask;
  const std::int64_t last = first + kRowsPerTask < total ? first + kRowsPerTask : total;
  for (std::int64_t row = first; row < last; ++row) {
    if constexpr (kPrefetchRows > 0)
      if (row + kPrefetchRows < last) {
        const std::int64_t ahead = row + kPrefetchRows;
        const auto* line = reinterpret_cast<const char*>(row_at(args, ahead / kIndexCount, ahead % kIndexCount).x0);
        for (int i = 0; i < 4; ++i) __builtin_prefetch(line + i * 64);
      }
    const Row at = row_at(args, row / kIndexCount, row % kIndexCount);
    std::int64_t j = 0;
    for (; j + kLanes <= kInner; j += kLanes) step<kLanes>(at, j);
    if constexpr (kInner % kLanes != 0) step<kInner % kLanes>(at, j);
  }
}
