// Data movement: a row is cut into kSplits segments of one block each, so that a few long rows fill the GPU. Every pass
// over the rows is a launch: its blocks combine what the segments found in the passes before, in the same order in each
// of them, and read their own segment once. Rows that the second-level cache does not hold come from memory once per
// pass, so the floor is (passes * bytes read + bytes written) / bandwidth. Partial results, a few bytes per segment, go
// through memory between launches. Sums are compensated, and a mean and a variance are one pass (reduce.cuh).

constexpr index_t kRowVectors = kLength / kVector;
constexpr index_t kSegmentVectors = (kRowVectors + kSplits - 1) / kSplits;
constexpr int kBlockWarps = kBlockThreads / 32;
constexpr int kCombiners = kSplits < 32 ? kSplits : 32;  // lanes that share the partial results of a row

// Which part of which row a block has.
struct Segment {
  index_t row;
  int split;
  int thread;
};

// The partial results of `pass` for a row: kSplits times kMostReductions slots.
KILN_DEVICE Slot* partials(const Arguments& arguments, int pass, index_t row) {
  return static_cast<Slot*>(arguments.at[kPartials]) +
         (static_cast<i64>(pass) * kRows + row) * (kSplits * kMostReductions);
}

// What a pass that is complete says of the row.
template <class Pass>
KILN_DEVICE void conclude(const Arguments& arguments, const Place& at, const Segment& segment, int pass, Scalars& s,
                          bool leader) {
  Pass part;
  if constexpr (Pass::reductions > 0) {
    const int lane = segment.thread % kCombiners;
    part.take_slots(partials(arguments, pass, segment.row) + lane * kMostReductions, kSplits / kCombiners,
                    kCombiners * kMostReductions);
    part.template reduce_warp<kCombiners>();
  }
  part.finish(arguments, at, s, leader);
}

template <class Pass>
KILN_DEVICE void read_segment(const Arguments& arguments, const Place& at, const Segment& segment, Scalars& s,
                              Pass& part) {
  const index_t begin = segment.split * kSegmentVectors;
  const index_t end = begin + kSegmentVectors < kRowVectors ? begin + kSegmentVectors : kRowVectors;
  index_t vector = begin + segment.thread;
  for (; vector + (kUnroll - 1) * kBlockThreads < end; vector += kUnroll * kBlockThreads) {
    Loaded loaded[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) part.load(arguments, at, (vector + u * kBlockThreads) * kVector, loaded[u]);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) part.step(arguments, at, s, (vector + u * kBlockThreads) * kVector, loaded[u]);
  }
  for (; vector < end; vector += kBlockThreads) {
    Loaded loaded;
    part.load(arguments, at, vector * kVector, loaded);
    part.step(arguments, at, s, vector * kVector, loaded);
  }
}

template <class Pass>
KILN_DEVICE void run_segment(const Arguments& arguments, const Place& at, const Segment& segment, int pass,
                             Scalars& s) {
  Pass part;
  read_segment(arguments, at, segment, s, part);
  if constexpr (Pass::reductions > 0) {
    Slot* slots = static_cast<Slot*>(shared_memory());
    part.template reduce_warp<32>();
    if (segment.thread % 32 == 0) part.put_slots(slots + segment.thread / 32 * kMostReductions);
    block_barrier();
    share_slots<kBlockWarps>(part, slots, segment.thread, kMostReductions);
    if (segment.thread == 0)
      part.put_slots(partials(arguments, pass, segment.row) + segment.split * kMostReductions);
  } else {
    part.finish(arguments, at, s, segment.split == 0 && segment.thread == 0);
  }
}

// Launch `launch` concludes the passes before it and runs its own; the one after the last pass only concludes.
template <int launch, int pass, class P, class... Later>
KILN_DEVICE void run_launch(PassList<P, Later...>, const Arguments& arguments, const Place& at, const Segment& segment,
                            Scalars& s) {
  if constexpr (pass == launch) {
    run_segment<P>(arguments, at, segment, pass, s);
  } else {
    conclude<P>(arguments, at, segment, pass, s, segment.split == 0 && segment.thread == 0);
    if constexpr (sizeof...(Later) > 0) run_launch<launch, pass + 1>(PassList<Later...>{}, arguments, at, segment, s);
  }
}

#define KILN_LAUNCH(launch)                                                                                         \
  KILN_ENTRY(KILN_NUMBERED(KILN_KERNEL, launch)) {                                                                  \
    const index_t block = static_cast<index_t>(block_index());                                                      \
    const Segment segment = {block / kSplits, static_cast<int>(block % kSplits), static_cast<int>(thread_index())}; \
    const Place at = place_of(segment.row);                                                                         \
    Scalars s;                                                                                                      \
    start(arguments, at, s);                                                                                        \
    run_launch<launch, 0>(Passes{}, arguments, at, segment, s);                                                     \
  }
KILN_LAUNCHES
