// Data movement: each operand is read once and each result written once; an element is computed on its way in. Lines
// that lie side by side go together, kColumnsPerTask of them, so that neighbours are read together; a scan along
// neighbours is limited by the latency of its operation.
// Top-k sorts all of a line (bottom-up merges over places, stable), log2(length) passes over 16 bytes an element.

// Whether a comes before b, from the best on. A NaN is beyond every number.
inline bool better(Value a, Value b) {
  if (is_nan(b)) return false;
  if (is_nan(a)) return true;
  return kLargest ? a > b : a < b;
}

struct Lines {
  Operands x;
  std::int64_t to, count;  // the first result, and how many lines
};

inline void scan(void* const* args, const Lines& at, Value* running) {
  for (std::int64_t j = 0; j < at.count; ++j) running[j] = initial();
  for (std::int64_t step = 0; step < kLength; ++step) {
    const std::int64_t i = kReverse ? kLength - 1 - step : step;
    Value* y = values(args) + at.to + i * kAfter;
    for (std::int64_t j = 0; j < at.count; ++j) {
      const Value next = combined(running[j], element(at.x, i, j));
      y[j] = kExclusive ? running[j] : next;
      running[j] = next;
    }
  }
}

inline void arg(void* const* args, const Lines& at) {
  for (std::int64_t j = 0; j < at.count; ++j) {
    std::int64_t best = 0;
    Value of_best = element(at.x, 0, j);
    for (std::int64_t i = 1; i < kLength; ++i) {
      const Value next = element(at.x, i, j);
      if (!better(next, of_best) && !(kLast && !better(of_best, next))) continue;
      best = i;
      of_best = next;
    }
    places(args)[at.to + j] = best;
  }
}

// The places of line j's elements in order; `order` and `other` hold kLength each.
inline const std::int64_t* sorted(const Operands& x, std::int64_t j, std::int64_t* order, std::int64_t* other) {
  for (std::int64_t i = 0; i < kLength; ++i) order[i] = i;
  for (std::int64_t width = 1; width < kLength; width *= 2) {
    for (std::int64_t begin = 0; begin < kLength; begin += 2 * width) {
      const std::int64_t middle = begin + width < kLength ? begin + width : kLength;
      const std::int64_t end = middle + width < kLength ? middle + width : kLength;
      std::int64_t a = begin, b = middle;
      for (std::int64_t to = begin; to < end; ++to) {
        const bool second = a == middle || (b < end && better(element(x, order[b], j), element(x, order[a], j)));
        other[to] = second ? order[b++] : order[a++];
      }
    }
    std::int64_t* const swap = order;
    order = other;
    other = swap;
  }
  return order;
}

inline void top(void* const* args, const Lines& at, std::int64_t* scratch) {
  for (std::int64_t j = 0; j < at.count; ++j) {
    const std::int64_t* order = sorted(at.x, j, scratch, scratch + kLength);
    for (std::int64_t r = 0; r < kKept; ++r) {
      if constexpr (kHasValues) values(args)[at.to + r * kAfter + j] = element(at.x, order[r], j);
      if constexpr (kHasPlaces) places(args)[at.to + r * kAfter + j] = order[r];
    }
  }
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  constexpr std::int64_t blocks = (kAfter + kColumnsPerTask - 1) / kColumnsPerTask;
  const std::int64_t before = task->index / blocks, first = task->index % blocks * kColumnsPerTask;
  const Lines at{operands_at(args, before, first), before * kKept * kAfter + first,
                 first + kColumnsPerTask < kAfter ? kColumnsPerTask : kAfter - first};
  if constexpr (kOperation == Operation::scan) scan(args, at, static_cast<Value*>(task->scratch));
  else if constexpr (kOperation == Operation::arg) arg(args, at);
  else top(args, at, static_cast<std::int64_t*>(task->scratch));
}
