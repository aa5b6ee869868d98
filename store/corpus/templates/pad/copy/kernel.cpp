// Data movement: each element of x is read once and each result written once, row by row.

constexpr std::size_t kLast = kRank - 1;

inline void row_of(void* const* args, std::int64_t row, Element fill) {
  Element* to = output(args) + row * kOut[kLast];
  const Element* from = input(args);
  bool inside = true;
  for (std::size_t d = kLast; d-- > 0; row /= kOut[d]) {
    const std::int64_t place = row % kOut[d] - kBefore[d];
    inside = inside && place >= 0 && place < kIn[d];
    from += place * kXStrides[d];
  }
  const std::int64_t begin = kBefore[kLast], end = inside ? begin + kIn[kLast] : begin;
  for (std::int64_t j = 0; j < begin; ++j) to[j] = fill;
  for (std::int64_t j = begin; j < end; ++j) to[j] = from[(j - begin) * kXStrides[kLast]];
  for (std::int64_t j = end; j < kOut[kLast]; ++j) to[j] = fill;
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  std::int64_t rows = 1;
  for (std::size_t d = 0; d < kLast; ++d) rows *= kOut[d];
  const Element fill = padding(args);
  const std::int64_t last = (task->index + 1) * kRowsPerTask;
  for (std::int64_t row = task->index * kRowsPerTask; row < (last < rows ? last : rows); ++row) row_of(args, row, fill);
}
