// Rows whose elements lie apart in memory while neighbouring rows are neighbours: a reduction over a middle
// dimension. Data movement: neighbouring threads take neighbouring rows, so that a warp's accesses are whole cache
// lines; kAlong threads share a row, and each has kUnroll elements in flight. Every pass reads the rows again, from
// the second-level cache as long as the rows under way fit it; with one pass the floor is bytes / bandwidth.

constexpr int kAlong = kBlockThreads / kColumns;

// The threads of one row meet through shared memory; `slots` are those of the block.
template <class Pass>
KILN_DEVICE void meet(int lane, int column, Slot* slots, Pass& part) {
  if constexpr (kAlong > 1 && Pass::reductions > 0) {
    block_barrier();  // the slots of the pass before have been read
    part.put_slots(slots + (lane * kColumns + column) * kMostReductions);
    block_barrier();
    part.take_slots(slots + column * kMostReductions, kAlong, kColumns * kMostReductions);
  }
}

template <class Pass>
KILN_DEVICE void run_pass(const Arguments& arguments, const Place& at, bool active, int lane, int column, Slot* slots,
                          Scalars& s) {
  Pass part;
  if (active) {
    index_t j = lane;
    for (; j + (kUnroll - 1) * kAlong < kLength; j += kUnroll * kAlong) {
      Loaded loaded[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) part.load(arguments, at, j + u * kAlong, loaded[u]);
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) part.step(arguments, at, s, j + u * kAlong, loaded[u]);
    }
    for (; j < kLength; j += kAlong) {
      Loaded loaded;
      part.load(arguments, at, j, loaded);
      part.step(arguments, at, s, j, loaded);
    }
  }
  meet(lane, column, slots, part);
  part.finish(arguments, at, s, active && lane == 0);
}

template <class... P>
KILN_DEVICE void run_passes(PassList<P...>, const Arguments& arguments, const Place& at, bool active, int lane,
                            int column, Slot* slots, Scalars& s) {
  (run_pass<P>(arguments, at, active, lane, column, slots, s), ...);
}

KILN_ENTRY(KILN_KERNEL) {
  const int thread = static_cast<int>(thread_index());
  const int column = thread % kColumns, lane = thread / kColumns;
  const index_t row = static_cast<index_t>(block_index()) * kColumns + column;
  const bool active = row < kRows;
  const Place at = place_of(active ? row : 0);
  Scalars s;
  start(arguments, at, s);
  run_passes(Passes{}, arguments, at, active, lane, column, static_cast<Slot*>(shared_memory()), s);
}
