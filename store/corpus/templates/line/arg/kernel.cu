// Data movement: x is read once; one place per line is written. A block has kColumns lines, and kAlong threads share
// one, each with kUnroll vectors in flight; they meet in shuffles where they are neighbours, and in shared memory.
// Lines that lie side by side in memory go to neighbouring threads, so that a warp reads whole cache lines. The floor
// is bytes / bandwidth. Of equal elements the place decides, so the order of the threads does not.

constexpr int kAlong = kBlockThreads / kColumns;
constexpr bool kNeighbours = kAfter == 1;  // threads of one line are neighbours, else those of neighbouring lines
constexpr int kLanes = !kNeighbours ? 1 : kAlong < 32 ? kAlong : 32;  // that meet in shuffles
constexpr int kParts = kAlong / kLanes;                               // that meet in shared memory
constexpr index_t kLines = kBefore * kAfter;
constexpr Along kVectors = static_cast<Along>(kLength / kVector);

// A NaN is beyond every number.
KILN_DEVICE bool better(Value a, Value b) { return !(kLargest ? a <= b : a >= b) && b == b; }

// The best element so far and where it stands along the line; -1 before there is one.
struct Best {
  Value value;
  Along place;

  // An element beyond those before it.
  KILN_DEVICE void follow(Value next, Along at) {
    const bool taken = kLast ? !better(value, next) : better(next, value);
    value = taken ? next : value;
    place = taken ? at : place;
  }
  // The best of other elements.
  KILN_DEVICE void take(Value next, Along at) {
    if (at < 0) return;
    const bool equal = !better(value, next) && !better(next, value);
    if (place >= 0 && !better(next, value) && !(equal && (kLast ? at > place : at < place))) return;
    value = next;
    place = at;
  }
};

KILN_DEVICE void take_vector(Best& best, const Pack<Memory, kVector>& pack, Along vector) {
#pragma unroll
  for (int e = 0; e < kVector; ++e) best.follow(static_cast<Value>(value_of(pack.at[e])), vector * kVector + e);
}
KILN_DEVICE Pack<Memory, kVector> load_vector(const Memory* x, Along vector) {
  return load_pack<true, Memory, kVector>(x + static_cast<index_t>(vector) * (kVector * kXAlong));
}

KILN_ENTRY(KILN_KERNEL) {
  const int thread = static_cast<int>(thread_index());
  const int lane = kNeighbours ? thread % kAlong : thread / kColumns;
  const int column = kNeighbours ? thread / kAlong : thread % kColumns;
  const index_t line = static_cast<index_t>(block_index()) * kColumns + column;
  const bool active = line < kLines;
  const Memory* x = input(arguments) + (active ? line / kAfter * kXBefore + line % kAfter * kXAfter : 0);
  // The worst value there is stands for the thread's first element, which is no worse.
  Best best = {kLargest ? lowest<Value>() : highest<Value>(),
               active && lane < kVectors ? static_cast<Along>(lane) * kVector : -1};
  if (active) {
    Along vector = lane;
    for (; vector + (kUnroll - 1) * kAlong < kVectors; vector += kUnroll * kAlong) {
      Pack<Memory, kVector> loaded[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) loaded[u] = load_vector(x, vector + u * kAlong);
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) take_vector(best, loaded[u], vector + u * kAlong);
    }
    for (; vector < kVectors; vector += kAlong) take_vector(best, load_vector(x, vector), vector);
  }
#pragma unroll
  for (int mask = kLanes / 2; mask > 0; mask /= 2) {
    const Value value = shuffle(best.value, static_cast<u32>(mask));
    const Along place = shuffle(best.place, static_cast<u32>(mask));
    best.take(value, place);
  }
  if constexpr (kParts > 1) {
    Slot* slots = static_cast<Slot*>(shared_memory());
    const auto slot = [&](int part) { return slots + 2 * (part * kColumns + column); };
    if (lane % kLanes == 0) {
      put(slot(lane / kLanes), best.value);
      put(slot(lane / kLanes) + 1, best.place);
    }
    block_barrier();
    if (lane != 0) return;
    for (int p = 1; p < kParts; ++p) best.take(take<Value>(slot(p)), take<Along>(slot(p) + 1));
  }
  if (active && lane == 0) places(arguments)[line] = best.place;
}
