// Data movement: the blocks of a cluster share a row, and each thread reads its part of it once and keeps it in
// registers through all passes: every operand is read once, every result written once, for rows far too long for one
// block, and the floor is bytes / bandwidth. Partial results meet in shuffles within a warp, in shared memory within
// a block, and in the blocks' shared memory across the cluster. What it costs is that a row's loads end before its
// results begin; where a multiprocessor holds the blocks of several rows, those fill the gap.

constexpr int kWarps = kBlockThreads / 32;
constexpr int kRowThreads = kBlockThreads * kRowBlocks;
constexpr index_t kRowVectors = kLength / kVector;
constexpr int kChunks = static_cast<int>((kRowVectors + kRowThreads - 1) / kRowThreads);  // vectors of one thread

using Slots = ClusterSlots<kWarps, kRowBlocks, kMostReductions>;

template <class Pass>
KILN_DEVICE void run_pass(const Arguments& arguments, const Place& at, int lane, int thread, Slots& slots, int& turn,
                          Scalars& s, Loaded (&kept)[kChunks]) {
  Pass part;
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const index_t vector = static_cast<index_t>(c) * kRowThreads + lane;
    if (vector < kRowVectors) part.step(arguments, at, s, vector * kVector, kept[c]);
  }
  slots.meet(thread, turn, part);
  part.finish(arguments, at, s, lane == 0);
}

template <class... P>
KILN_DEVICE void run_passes(PassList<P...>, const Arguments& arguments, const Place& at, int lane, int thread,
                            Slots& slots, int& turn, Scalars& s, Loaded (&kept)[kChunks]) {
  (run_pass<P>(arguments, at, lane, thread, slots, turn, s, kept), ...);
}

KILN_ENTRY(KILN_KERNEL) {
  const int thread = static_cast<int>(thread_index());
  const int lane = static_cast<int>(cluster_rank()) * kBlockThreads + thread;
  Slots& slots = *static_cast<Slots*>(shared_memory());
  const Place at = place_of(static_cast<index_t>(block_index() / kRowBlocks));
  Loaded kept[kChunks];
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const index_t vector = static_cast<index_t>(c) * kRowThreads + lane;
    if (vector < kRowVectors) load_all(arguments, at, vector * kVector, kept[c]);
  }
  Scalars s;
  start(arguments, at, s);
  int turn = 0;
  run_passes(Passes{}, arguments, at, lane, thread, slots, turn, s, kept);
  cluster_barrier();  // a block's shared memory lasts until the others have read it
}
