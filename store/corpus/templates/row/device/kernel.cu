// Data movement: kRowThreads threads share a row. With kResident each of them reads its part of the row once and
// keeps it in registers through all passes: every operand is read once, every result written once, and the floor is
// bytes / bandwidth. Without, each pass reads the row again, from the second-level cache as long as the rows under
// way fit it. Partial results meet in shuffles within a warp, and in shared memory beyond. Sums are compensated, since
// a row may have millions of elements. A variance takes a pass of its own while the row is in registers, so that
// nothing cancels; else it comes with the mean, about an element of the row (reduce.cuh).

constexpr int kTeamLanes = kRowThreads < 32 ? kRowThreads : 32;
constexpr int kTeamWarps = kRowThreads / kTeamLanes;
constexpr int kBlockRows = kBlockThreads / kRowThreads;
constexpr index_t kRowVectors = kLength / kVector;
constexpr int kChunks = static_cast<int>((kRowVectors + kRowThreads - 1) / kRowThreads);  // vectors of one thread

// The threads of one row: `lane` counts them, `slots` are the row's, one for each warp and reduction, in two sets that
// take turns: when one is written again, all have met by the other since they read it.
struct Team {
  int lane;
  Slot* slots;
  int turn;
};

// Combines the partial results of a pass over the team; each thread gets all of them.
template <class Pass>
KILN_DEVICE void meet(Team& team, Pass& part) {
  part.template reduce_warp<kTeamLanes>();
  if constexpr (kTeamWarps > 1 && Pass::reductions > 0) {
    Slot* const slots = team.slots + team.turn * (kTeamWarps * kMostReductions);
    if (team.lane % 32 == 0) part.put_slots(slots + team.lane / 32 * kMostReductions);
    block_barrier();
    share_slots<kTeamWarps>(part, slots, team.lane, kMostReductions);
    team.turn = 1 - team.turn;
  }
}

template <class Pass>
KILN_DEVICE void run_pass(const Arguments& arguments, const Place& at, bool active, Team& team, Scalars& s,
                          Loaded (&kept)[kResident ? kChunks : 1]) {
  Pass part;
  if constexpr (kResident) {
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      const index_t vector = static_cast<index_t>(c) * kRowThreads + team.lane;
      if (active && vector < kRowVectors) part.step(arguments, at, s, vector * kVector, kept[c]);
    }
  } else if (active) {
    index_t vector = team.lane;
    for (; vector + (kUnroll - 1) * kRowThreads < kRowVectors; vector += kUnroll * kRowThreads) {
      Loaded loaded[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) part.load(arguments, at, (vector + u * kRowThreads) * kVector, loaded[u]);
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) part.step(arguments, at, s, (vector + u * kRowThreads) * kVector, loaded[u]);
    }
    for (; vector < kRowVectors; vector += kRowThreads) {
      Loaded loaded;
      part.load(arguments, at, vector * kVector, loaded);
      part.step(arguments, at, s, vector * kVector, loaded);
    }
  }
  meet(team, part);
  part.finish(arguments, at, s, active && team.lane == 0);
}

template <class... P>
KILN_DEVICE void run_passes(PassList<P...>, const Arguments& arguments, const Place& at, bool active,
                            Team& team, Scalars& s, Loaded (&kept)[kResident ? kChunks : 1]) {
  (run_pass<P>(arguments, at, active, team, s, kept), ...);
}

KILN_ENTRY(KILN_KERNEL) {
  const int thread = static_cast<int>(thread_index());
  const index_t row = static_cast<index_t>(block_index()) * kBlockRows + thread / kRowThreads;
  const bool active = row < kRows;
  Team team = {thread % kRowThreads,
               static_cast<Slot*>(shared_memory()) + thread / kRowThreads * (2 * kTeamWarps * kMostReductions), 0};
  const Place at = place_of(active ? row : 0);
  Loaded kept[kResident ? kChunks : 1];
  if constexpr (kResident) {
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      const index_t vector = static_cast<index_t>(c) * kRowThreads + team.lane;
      if (active && vector < kRowVectors) load_all(arguments, at, vector * kVector, kept[c]);
    }
  }
  Scalars s;
  start(arguments, at, s);
  run_passes(Passes{}, arguments, at, active, team, s, kept);
}
