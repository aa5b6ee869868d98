// Data movement: the blocks of a cluster share a row, and each thread copies its part of it into shared memory once,
// with no register on the way, and reads it there in every pass: every operand is read once, every result written once,
// and the floor is bytes / bandwidth. Shared memory holds more of a row than registers do and leaves room for the
// blocks of other rows, whose loads fill the time in which this one combines and writes. What the rows have in common
// (scale and bias of a norm) is read where it is used, from the second-level cache. Partial results meet as in
// row/cluster.

constexpr int kWarps = kBlockThreads / 32;
constexpr int kRowThreads = kBlockThreads * kRowBlocks;
constexpr index_t kRowVectors = kLength / kVector;
constexpr int kChunks = static_cast<int>((kRowVectors + kRowThreads - 1) / kRowThreads);  // vectors of one thread
using Slots = ClusterSlots<kWarps, kRowBlocks, kMostReductions>;

// A block's shared memory.
struct Shared {
  Staged<kChunks * kBlockThreads> row;
  Slots slots;
};

template <class Pass>
KILN_DEVICE void run_pass(const Arguments& arguments, const Place& at, int lane, int thread, Shared& shared, int& turn,
                          Scalars& s) {
  Pass part;
#pragma unroll(kUnroll)
  for (int c = 0; c < kChunks; ++c) {
    const index_t vector = static_cast<index_t>(c) * kRowThreads + lane;
    if (vector >= kRowVectors) continue;
    Loaded loaded;
    fetch_all(shared.row, c * kBlockThreads + thread, loaded);
    part.step(arguments, at, s, vector * kVector, loaded);
  }
  shared.slots.meet(thread, turn, part);
  part.finish(arguments, at, s, lane == 0);
}

template <class... P>
KILN_DEVICE void run_passes(PassList<P...>, const Arguments& arguments, const Place& at, int lane, int thread,
                            Shared& shared, int& turn, Scalars& s) {
  (run_pass<P>(arguments, at, lane, thread, shared, turn, s), ...);
}

KILN_ENTRY(KILN_KERNEL) {
  const int thread = static_cast<int>(thread_index());
  const int lane = static_cast<int>(cluster_rank()) * kBlockThreads + thread;
  Shared& shared = *static_cast<Shared*>(shared_memory());
  const Place at = place_of(static_cast<index_t>(block_index() / kRowBlocks));
#pragma unroll(kUnroll)
  for (int c = 0; c < kChunks; ++c) {
    const index_t vector = static_cast<index_t>(c) * kRowThreads + lane;
    if (vector < kRowVectors) stage_all(arguments, at, vector * kVector, c * kBlockThreads + thread, shared.row);
  }
  Scalars s;
  start(arguments, at, s);
  copies_arrive();
  int turn = 0;
  run_passes(Passes{}, arguments, at, lane, thread, shared, turn, s);
  cluster_barrier();  // a block's shared memory lasts until the others have read it
}
