// Data movement: each element is read once and written once, in rows that are contiguous on both sides where the
// sources are dense. The floor is the bytes at copy bandwidth; short rows are limited by the cost of finding their
// addresses.

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const std::int64_t first = kRows * task->index / task->count;
  const std::int64_t last = kRows * (task->index + 1) / task->count;
  for (std::int64_t row = first; row < last; ++row) copy_row(args, row);
}
