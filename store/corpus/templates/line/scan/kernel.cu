// Data movement: each operand is read once and each result written once; the floor is those bytes at memory bandwidth.
// A block has kColumns lines, and kAlong threads share one: each takes kItems neighbours of a chunk, computes the
// elements of its operands, combines them, and gets what comes before it from the lanes of its warp by shuffles and
// from the block's other threads through shared memory. The next chunk is on its way while one is scanned. Lines that
// lie side by side in memory go to neighbouring threads.

constexpr int kAlong = kBlockThreads / kColumns;
constexpr bool kNeighbours = kAfter == 1;  // threads of one line are neighbours, else those of neighbouring lines
constexpr int kLanes = !kNeighbours ? 1 : kAlong < 32 ? kAlong : 32;  // that meet in shuffles
constexpr int kParts = kAlong / kLanes;                               // that meet in shared memory
constexpr index_t kLines = kBefore * kAfter;
constexpr index_t kChunk = static_cast<index_t>(kAlong) * kItems;
constexpr index_t kChunks = (kLength + kChunk - 1) / kChunk;
static_assert(kItems % kVector == 0, "a thread's neighbours are whole vectors");

KILN_DEVICE Value combine(Value a, Value b) { return Operation::of(a, b); }
// What is before the first element: for an integer in the range of the elements, not of Value.
template <class Stored = Memory>
KILN_DEVICE Value initial() {
  if constexpr (is_float<Value>::value)
    return Operation::template identity<Value>();
  else
    return static_cast<Value>(Operation::template identity<Stored>());
}

// A thread's place: where its line begins in each buffer, and which part of a chunk it has.
struct Team {
  Place x;
  Memory* y;
  bool active;
  int lane, column;
};

struct Items {
  Loaded at[kItems / kVector];
};

// Where kVector neighbours from `step` on begin in memory.
KILN_DEVICE index_t position_of(index_t step) { return kReverse ? kLength - step - kVector : step; }
constexpr int place_in_vector(int e) { return kReverse ? kVector - 1 - e : e; }

// Element i of a thread's, in the order of the scan.
KILN_DEVICE Value element_of(const Items& items, int i) {
  return element(items.at[i / kVector], place_in_vector(i % kVector));
}

KILN_DEVICE void load(const Arguments& arguments, const Team& team, index_t chunk, Items& items) {
#pragma unroll
  for (int i = 0; i < kItems; i += kVector) {
    const index_t step = chunk * kChunk + team.lane * kItems + i;
    if (team.active && step < kLength) load_operands(arguments, team.x, position_of(step), items.at[i / kVector]);
  }
}

KILN_DEVICE void store(const Team& team, index_t chunk, const Value (&results)[kItems]) {
#pragma unroll
  for (int i = 0; i < kItems; i += kVector) {
    const index_t step = chunk * kChunk + team.lane * kItems + i;
    if (!team.active || step >= kLength) continue;
    Memory* to = team.y + position_of(step) * kAfter;
    Pack<Memory, kVector> pack;
#pragma unroll
    for (int e = 0; e < kVector; ++e) pack.at[place_in_vector(e)] = Element<Memory>::of(results[i + e]);
    store_pack<true, Memory, kVector>(to, pack);
  }
}

// What the threads before this one have, and what all of them have, out of what each has.
KILN_DEVICE void meet(const Team& team, Slot* slots, Value& before, Value& all) {
  before = initial();
#pragma unroll
  for (int mask = 1; mask < kLanes; mask *= 2) {
    const Value other = shuffle(all, static_cast<u32>(mask));
    const bool second = (team.lane & mask) != 0;
    if (second) before = combine(other, before);
    all = second ? combine(other, all) : combine(all, other);
  }
  if constexpr (kParts > 1) {
    const int part = team.lane / kLanes;
    if (team.lane % kLanes == 0) put(slots + part * kColumns + team.column, all);
    block_barrier();
    Value parts = initial();
    for (int p = 0; p < kParts; ++p) {
      if (p == part) before = combine(parts, before);
      parts = combine(parts, take<Value>(slots + p * kColumns + team.column));
    }
    all = parts;
  }
}

KILN_ENTRY(KILN_KERNEL) {
  const int thread = static_cast<int>(thread_index());
  Team team;
  team.lane = kNeighbours ? thread % kAlong : thread / kColumns;
  team.column = kNeighbours ? thread / kAlong : thread % kColumns;
  const index_t line = static_cast<index_t>(block_index()) * kColumns + team.column;
  team.active = line < kLines;
  const index_t of_team = team.active ? line : 0;
  team.x = place_of(of_team);
  team.y = values(arguments) + of_team / kAfter * (kLength * kAfter) + of_team % kAfter;
  Slot* slots = static_cast<Slot*>(shared_memory());

  Items next;
  load(arguments, team, 0, next);
  Value carry = initial();
  for (index_t chunk = 0; chunk < kChunks; ++chunk) {
    const Items items = next;
    if (chunk + 1 < kChunks) load(arguments, team, chunk + 1, next);
    Value sums[kItems], all = initial(), before;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const bool inside = team.active && chunk * kChunk + team.lane * kItems + i < kLength;
      if (inside) all = combine(all, element_of(items, i));
      sums[i] = all;
    }
    // Two sets of slots in turn: a thread may be at the next chunk before its neighbours have read this one's.
    meet(team, slots + chunk % 2 * (kParts * kColumns), before, all);
    before = combine(carry, before);
    Value results[kItems];
#pragma unroll
    for (int i = 0; i < kItems; ++i)
      results[i] = !kExclusive ? combine(before, sums[i]) : i == 0 ? before : combine(before, sums[i - 1]);
    store(team, chunk, results);
    carry = combine(carry, all);
  }
}
