// Data movement: the operand with many rows (or columns) streams from memory once, past the first-level cache, by
// vectors of eight along k that are matrix instructions' operands as they come: four lanes have neighbouring vectors
// of one row of it and of one of the few, and since both lie in the same order along k, which index is which makes no
// difference. A warp takes kTiles sixteens of rows and all of the few, in eights; kUnroll vectors of each row are in
// flight. What is read of the few comes from the caches, once for each block. The floor is the bytes of the large
// operand / bandwidth. With kSplits blocks to a row, a second launch adds up what they leave.

constexpr int kWarps = kBlockThreads / 32, kTeams = kWarps / kRowWarps;  // a team's warps share rows
constexpr int kEights = (kFew + 7) / 8;
constexpr int kTeamRows = 16 * kTiles;
constexpr index_t kTileRows = kTeams * kTeamRows;
constexpr index_t kRowTiles = (kMany + kTileRows - 1) / kTileRows;
constexpr index_t kVectors = kK / kVector;
constexpr index_t kSteps = (kVectors + 3) / 4;
constexpr index_t kShare = (kSteps + kSplits - 1) / kSplits;  // of a block
static_assert(kVector == 8, "two matrix instructions take sixteen bytes of a lane");

// One step's vectors of a lane: of its two rows of each sixteen, and of its one of each eight of the few.
struct Step {
  Words4 x[kTiles][2], y[kEights];
};

KILN_DEVICE Words4 whole(Pack<Memory, kVector> x, bool inside) {
  return inside ? bit_copy<Words4>(x) : Words4{{0, 0, 0, 0}};
}

// A row past the last one is the last one, and is not stored; a vector past the end is zero in both.
KILN_DEVICE void load_step(const Arguments& arguments, const Place& at, index_t row, int lane, index_t step, Step& s) {
  const index_t vector = step * 4 + lane % 4;
  const bool inside = kVectors % 4 == 0 || vector < kVectors;
  const index_t p = inside ? vector * kVector : 0;
#pragma unroll
  for (int i = 0; i < kTiles; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const index_t r = row + 16 * i + 8 * half + lane / 4;
      s.x[i][half] = whole(load_streamed(arguments, at, r < kMany ? r : kMany - 1, p), inside);
    }
#pragma unroll
  for (int c = 0; c < kEights; ++c) {
    const int of = 8 * c + lane / 4;
    s.y[c] = whole(load_kept(arguments, at, of < kFew ? of : kFew - 1, p), inside);
  }
}

KILN_DEVICE void add_step(const Step& s, f32 (&sums)[kTiles][kEights][4]) {
#pragma unroll
  for (int i = 0; i < kTiles; ++i)
#pragma unroll
    for (int c = 0; c < kEights; ++c)
#pragma unroll
      for (int w = 0; w < 4; w += 2) {
        const u32 a[4] = {s.x[i][0].at[w], s.x[i][1].at[w], s.x[i][0].at[w + 1], s.x[i][1].at[w + 1]};
        const u32 b[2] = {s.y[c].at[w], s.y[c].at[w + 1]};
        add_matrix_product<Memory>(sums[i][c], a, b);
      }
}

KILN_ENTRY(KILN_LED) {
  const auto block = static_cast<index_t>(block_index());
  const int thread = static_cast<int>(thread_index()), split = static_cast<int>(block % kSplits);
  const index_t tile = block / kSplits % kRowTiles, batch = block / (kSplits * kRowTiles);
  const int warp = thread / 32, lane = thread % 32, team = warp / kRowWarps, member = warp % kRowWarps;
  const Place at = place_of(batch);
  const index_t row = tile * kTileRows + team * kTeamRows;
  const index_t end = (split + 1) * kShare < kSteps ? (split + 1) * kShare : kSteps;
  f32 sums[kTiles][kEights][4] = {};
  index_t step = split * kShare + member;
  for (; step + (kUnroll - 1) * kRowWarps < end; step += kUnroll * kRowWarps) {
    Step steps[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) load_step(arguments, at, row, lane, step + u * kRowWarps, steps[u]);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) add_step(steps[u], sums);
  }
  for (; step < end; step += kRowWarps) {
    Step one;
    load_step(arguments, at, row, lane, step, one);
    add_step(one, sums);
  }

  // Warps' parts of each result meet in shared memory: [team][few][row][member].
  f32* const met = static_cast<f32*>(shared_memory());
#pragma unroll
  for (int i = 0; i < kTiles; ++i)
#pragma unroll
    for (int c = 0; c < kEights; ++c)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int of = 8 * c + 2 * (lane % 4) + e % 2, r = 16 * i + 8 * (e / 2) + lane / 4;
        met[((team * 8 * kEights + of) * kTeamRows + r) * kRowWarps + member] = sums[i][c][e];
      }
  block_barrier();
  for (int e = thread; e < kTeams * kTeamRows * kFew; e += kBlockThreads) {
    const int r = e % kTeamRows, c = e / kTeamRows % kFew, of_team = e / kTeamRows / kFew;
    const f32* parts = met + ((of_team * 8 * kEights + c) * kTeamRows + r) * kRowWarps;
    f32 sum = parts[0];
#pragma unroll
    for (int other = 1; other < kRowWarps; ++other) sum += parts[other];
    const index_t at_row = tile * kTileRows + of_team * kTeamRows + r;
    if (at_row < kMany) leave_of(arguments, at, batch, split, at_row, c, sum);
  }
}

KILN_CONCLUDE
