// Data movement: as many blocks as run at the same time, in groups that share a row and take one row after another.
// Each thread copies its part of a row into shared memory once, and its part of the next rows is under way into other
// stages while it works: memory is never idle while a row's blocks combine what they found. With kInRegisters the part
// at hand leaves its stage for registers at once; without, every pass reads it in shared memory. Every operand is read
// once, every result written once, and the floor is bytes / bandwidth. A row may be as long as the shared memory of the
// whole GPU. What the rows have in common (scale and bias of a norm) is read where it is used, from the second-level
// cache. The blocks of a row meet in device memory (grid.cuh), in one or two microseconds, which the copies hide if a
// stage takes longer to arrive; mean and variance come out of one pass, so that they meet once.

constexpr int kWarps = kBlockThreads / 32;
constexpr index_t kRowVectors = kLength / kVector;
constexpr index_t kSegmentVectors = (kRowVectors + kRowBlocks - 1) / kRowBlocks;  // of a row, for one block
constexpr int kChunks = static_cast<int>((kSegmentVectors + kBlockThreads - 1) / kBlockThreads);  // of one thread

using Segments = Staged<kChunks * kBlockThreads>;
using Messages = RowMessages<kRowBlocks, kMostReductions>;

// A block's shared memory.
struct Shared {
  Segments of_rows[kStages];
  GridSlots<kWarps, kRowBlocks, kMostReductions> slots;
};

constexpr int kAhead = kInRegisters ? kStages : kStages - 1;  // rows under way beside the one at hand

// A block's part of each row that its group takes.
struct Segment {
  index_t begin, end;  // vectors
  int block, thread;
  u32 turn;
};

KILN_DEVICE void stage_row(const Arguments& arguments, index_t row, const Segment& segment, Segments& into) {
  if (row < kRows) {
    const Place at = place_of(row);
#pragma unroll(kUnroll)
    for (int c = 0; c < kChunks; ++c) {
      const index_t vector = segment.begin + c * kBlockThreads + segment.thread;
      if (vector < segment.end) stage_all(arguments, at, vector * kVector, c * kBlockThreads + segment.thread, into);
    }
  }
  copies_commit();
}

// What a thread has of the row at hand.
struct OfRow {
  const Segments* staged;
  Loaded kept[kInRegisters ? kChunks : 1];
};

template <class Pass>
KILN_DEVICE void run_pass(const Arguments& arguments, const Place& at, Segment& segment, OfRow& row, Shared& shared,
                          Messages& messages, Scalars& s) {
  Pass part;
  if constexpr (kInRegisters != 0) {
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      const index_t vector = segment.begin + c * kBlockThreads + segment.thread;
      if (vector < segment.end) part.step(arguments, at, s, vector * kVector, row.kept[c]);
    }
  } else {
#pragma unroll(kUnroll)
    for (int c = 0; c < kChunks; ++c) {
      const index_t vector = segment.begin + c * kBlockThreads + segment.thread;
      if (vector >= segment.end) continue;
      Loaded loaded;
      fetch_all(*row.staged, c * kBlockThreads + segment.thread, loaded);
      part.step(arguments, at, s, vector * kVector, loaded);
    }
  }
  shared.slots.meet(segment.thread, segment.block, segment.turn, messages, part);
  part.finish(arguments, at, s, segment.block == 0 && segment.thread == 0);
}

template <class... P>
KILN_DEVICE void run_passes(PassList<P...>, const Arguments& arguments, const Place& at, Segment& segment, OfRow& row,
                            Shared& shared, Messages& messages, Scalars& s) {
  (run_pass<P>(arguments, at, segment, row, shared, messages, s), ...);
}

#define KILN_JOIN(symbol, launch) symbol##_##launch
#define KILN_LAUNCH_OF(symbol, launch) KILN_JOIN(symbol, launch)

// No block of the first launch has met another.
KILN_ENTRY(KILN_LAUNCH_OF(KILN_KERNEL, 0)) {
  constexpr u32 count = kGroups * sizeof(Messages) / sizeof(u32);
  u32* const words = static_cast<u32*>(arguments.at[kMessages]);
  for (u32 i = block_index() * kBlockThreads + thread_index(); i < count; i += block_count() * kBlockThreads)
    words[i] = 0;
}

KILN_ENTRY_SIDE_BY_SIDE(KILN_LAUNCH_OF(KILN_KERNEL, 1), kPerMultiprocessor) {
  Shared& shared = *static_cast<Shared*>(shared_memory());
  const int block = static_cast<int>(block_index()) % kRowBlocks;
  const index_t group = static_cast<index_t>(block_index()) / kRowBlocks;
  Messages& messages = static_cast<Messages*>(arguments.at[kMessages])[group];
  const int thread = static_cast<int>(thread_index());
  Segment segment = {block * kSegmentVectors, (block + 1) * kSegmentVectors, block, thread, 1};
  if (segment.end > kRowVectors) segment.end = kRowVectors;
  for (int ahead = 0; ahead < kAhead; ++ahead)
    stage_row(arguments, group + ahead * kGroups, segment, shared.of_rows[ahead]);
  int stage = 0;
  for (index_t row = group; row < kRows; row += kGroups) {
    // A stage is free once this thread has read what it copied there: that of the row before, or with kInRegisters
    // that of this one.
    if constexpr (kInRegisters == 0)
      stage_row(arguments, row + kAhead * kGroups, segment, shared.of_rows[stage == 0 ? kStages - 1 : stage - 1]);
    const Place at = place_of(row);
    Scalars s;
    start(arguments, at, s);
    copies_arrive_but<kStages - 1>();
    OfRow of_row;
    of_row.staged = &shared.of_rows[stage];
    if constexpr (kInRegisters != 0) {
#pragma unroll
      for (int c = 0; c < kChunks; ++c) fetch_all(*of_row.staged, c * kBlockThreads + segment.thread, of_row.kept[c]);
      stage_row(arguments, row + kAhead * kGroups, segment, shared.of_rows[stage]);
    }
    run_passes(Passes{}, arguments, at, segment, of_row, shared, messages, s);
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }
}
