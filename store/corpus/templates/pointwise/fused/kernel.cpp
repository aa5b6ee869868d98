// Data movement: each operand is read once and each result written once, in order; nothing stays on chip and nothing is
// recomputed. The floor is bytes / bandwidth of the level that holds the buffers; expressions with exp, tanh or erf are
// limited by arithmetic while the buffers fit a cache. Long rows are cut into columns of kElementsPerTask, short rows
// are grouped, so that a task has about as many elements either way.

constexpr std::int64_t kColumns = kInner > kElementsPerTask ? kElementsPerTask : kInner;
constexpr std::int64_t kColumnBlocks = (kInner + kColumns - 1) / kColumns;
constexpr std::int64_t kRowsPerTask = kInner > kElementsPerTask ? 1 : kElementsPerTask / kInner;

inline void columns(const Row& at, std::int64_t begin, std::int64_t end) {
  std::int64_t j = begin;
  for (; j + kUnroll * kLanes <= end; j += kUnroll * kLanes) {
#pragma GCC unroll 4
    for (int u = 0; u < kUnroll; ++u) step<kLanes>(at, j + u * kLanes);
  }
  for (; j + kLanes <= end; j += kLanes) step<kLanes>(at, j);
  // A column block is a multiple of the vector, so only the end of a row has a tail.
  if constexpr (kInner % kLanes != 0)
    if (j < end) step<kInner % kLanes>(at, j);
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const std::int64_t block = task->index % kColumnBlocks;
  const std::int64_t first = task->index / kColumnBlocks * kRowsPerTask;
  const std::int64_t last = first + kRowsPerTask < kRows ? first + kRowsPerTask : kRows;
  const std::int64_t begin = block * kColumns;
  const std::int64_t end = begin + kColumns < kInner ? begin + kColumns : kInner;
  for (std::int64_t row = first; row < last; ++row) columns(row_at(args, row), begin, end);
}
