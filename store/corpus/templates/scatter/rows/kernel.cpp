// Data movement: data is copied once and each update read once. Rows are shared out among kParts tasks, each of which
// looks at every index and takes what falls on its rows, in order: so the result does not depend on the threads. The
// floor is the copy; many updates of short rows are limited by looking at the indices kParts times.

template <class T>
inline T combined(T a, T b) {
  if constexpr (kCombine == Combine::replace) return b;
  else if constexpr (kCombine == Combine::max) return greatest(a, b);
  else if constexpr (kCombine == Combine::min) return least(a, b);
  else if constexpr (std::is_integral_v<T>)
    return kCombine == Combine::mul ? static_cast<T>(std::uint64_t(a) * std::uint64_t(b))
                                    : static_cast<T>(std::uint64_t(a) + std::uint64_t(b));
  else return kCombine == Combine::mul ? a * b : a + b;
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const std::int64_t first = kRows * task->index / kParts, last = kRows * (task->index + 1) / kParts;
  const Value *from = data(args), *update = updates(args);
  Value* to = output(args);
  for (std::int64_t i = first * kInner; i < last * kInner; ++i) to[i] = from[i];
  for (std::int64_t k = 0; k < kCount; ++k) {
    auto row = static_cast<std::int64_t>(indices(args)[k]);
    if (row < 0) row += kRows;
    if (row < first || row >= last) continue;
    for (std::int64_t j = 0; j < kInner; ++j)
      to[row * kInner + j] = combined(to[row * kInner + j], update[k * kInner + j]);
  }
}
