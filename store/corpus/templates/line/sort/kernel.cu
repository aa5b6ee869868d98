// Data movement: lines are read once into shared memory with the places of their elements, sorted there, and what is
// kept of each is written once. The network is bitonic (Batcher, "Sorting networks and their applications", 1968):
// log2(n) (log2(n) + 1) / 2 steps over a line of n elements, which its threads share and a barrier separates. The floor
// is bytes / bandwidth; in practice the steps limit, so that few elements that are kept of many cost as much as all.

constexpr int kAlong = kBlockThreads / kColumns;  // threads of a line
constexpr index_t kLines = kBefore * kAfter;
constexpr int kCount = static_cast<int>(kLength);

constexpr int power_of_two(int least) {
  int power = 1;
  while (power < least) power *= 2;
  return power;
}
constexpr int kPadded = power_of_two(kCount);

// The lines of a block; places from kCount on are padding.
struct Shared {
  Value values[kColumns][kPadded];
  i32 places[kColumns][kPadded];
};

// A NaN is beyond every number.
KILN_DEVICE bool better(Value a, Value b) { return !(kLargest ? a <= b : a >= b) && b == b; }

// Whether one element comes before another: padding last, and of equal elements the first in the line.
KILN_DEVICE bool is_before(Value a, i32 at, Value b, i32 of_b) {
  if (at >= kCount || of_b >= kCount) return at < of_b;
  return better(a, b) || (!better(b, a) && at < of_b);
}

KILN_ENTRY(KILN_KERNEL) {
  const int thread = static_cast<int>(thread_index()), lane = thread % kAlong, column = thread / kAlong;
  const index_t line = static_cast<index_t>(block_index()) * kColumns + column;
  const bool active = line < kLines;
  const index_t before = active ? line / kAfter : 0, after = active ? line % kAfter : 0;
  const Memory* x = input(arguments) + before * kXBefore + after * kXAfter;
  Shared& shared = *static_cast<Shared*>(shared_memory());
  Value* line_values = shared.values[column];
  i32* line_places = shared.places[column];
  for (int i = lane; i < kPadded; i += kAlong) {
    line_values[i] =
        active && i < kCount ? static_cast<Value>(value_of(x[static_cast<index_t>(i) * kXAlong])) : Value(0);
    line_places[i] = i;
  }
  for (int size = 2; size <= kPadded; size *= 2) {
    for (int step = size / 2; step > 0; step /= 2) {
      block_barrier();
      for (int i = lane; i < kPadded / 2; i += kAlong) {
        const int a = i / step * (2 * step) + i % step, b = a + step;
        const Value of_a = line_values[a], of_b = line_values[b];
        const i32 place_a = line_places[a], place_b = line_places[b];
        const bool descends = (a & size) != 0;
        if (is_before(of_b, place_b, of_a, place_a) == descends) continue;
        line_values[a] = of_b;
        line_values[b] = of_a;
        line_places[a] = place_b;
        line_places[b] = place_a;
      }
    }
  }
  block_barrier();
  if (!active) return;
  const index_t to = before * (kKept * kAfter) + after;
  for (int k = lane; k < kKept; k += kAlong) {
    const index_t at = to + static_cast<index_t>(k) * kAfter;
    if constexpr (kHasValues) values(arguments)[at] = Element<Memory>::of(line_values[k]);
    if constexpr (kHasPlaces) places(arguments)[at] = line_places[k];
  }
}
