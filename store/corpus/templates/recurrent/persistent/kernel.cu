// Data movement: kGroupBlocks blocks share the units of a layer, all of them at work at the same time. A block keeps
// the recurrent weights of its units, for all steps, in registers or shared memory (or reads them again from the
// second-level cache where neither holds them), and takes kTile rows of the batch through all steps; a warp's lanes
// share a unit's products, and one of them for each row keeps its state. After a step the blocks tell each other
// their states through the second-level cache, 8 bytes a state with the step it is of (grid.cuh), so that nothing but
// the states themselves is waited for. x is read and the results are written once, weights once; the floor is those
// bytes / bandwidth, in practice the steps one after the other, each as long as a state takes to reach the other
// blocks.

constexpr int kWarps = kBlockThreads / 32;
constexpr int kPitch = (kHidden + 3) / 4 * 4;  // of a row of states
constexpr int kUnits = (kHidden + kGroupBlocks - 1) / kGroupBlocks;  // of a block
constexpr int kUnitsOfWarp = (kUnits + kWarps - 1) / kWarps;
constexpr int kLanesOfRow = 32 / kTile;  // that have a row's sums, each for one of the warp's units
constexpr int kFirst = first_gates<Layer>;
constexpr int kChunks = (kHidden + 32 * kVector - 1) / (32 * kVector);  // vectors of a unit's gate that a lane has
constexpr index_t kTiles = (kBatch + kTile - 1) / kTile;
using Value = Layer::Value;
static_assert(kUnitsOfWarp <= kLanesOfRow, "a lane keeps one state");
static_assert((kGroupBlocks - 1) * kUnits < kHidden, "each block posts a state: one that does not is not waited for");

constexpr int kInShared = 1, kInRegisters = 2;  // of kWeights; else they are read in each step
constexpr int kRowVectors = kHidden / kVector;  // of a unit's gate
constexpr int kSliceVectors = kUnits * Layer::gates * kRowVectors;

// A block's shared memory: two sets of states in turn, since some warps still multiply one while the next arrives.
struct Shared {
  alignas(16) Value states[2][kTile * kPitch];
  Pack<Memory, kVector> weights[kWeights == kInShared ? kSliceVectors : 1];
};
// What the blocks of a group tell each other, zero before the launch: a state and its turn in each word. Two sets in
// turn: a block posts into one of them again only after it has read all of the other, whose blocks have read this one.
struct States {
  u64 of_turn[2][kTile * kPitch];
};

struct Of {  // a thread's place
  int warp, lane, block;
  int unit;      // the one whose state this lane keeps, in the layer
  int in_tile;   // and the row
  bool keeps;    // whether it keeps one
};

struct Kept {
  Pack<Memory, kVector> at[kWeights == kInRegisters ? kUnitsOfWarp * Layer::gates * kChunks : 1];
};

KILN_DEVICE int unit_of(const Of& of, int u) { return of.block * kUnits + u * kWarps + of.warp; }
KILN_DEVICE bool has_unit(const Of& of, int u) { return u * kWarps + of.warp < kUnits && unit_of(of, u) < kHidden; }

KILN_DEVICE Pack<Memory, kVector> weights_in_memory(const Arguments& arguments, int unit, int g, int k) {
  return load_pack<false, Memory, kVector>(weights(arguments) +
                                           (static_cast<index_t>(g) * kHidden + unit) * kHidden + k);
}

KILN_DEVICE void keep_weights(const Arguments& arguments, const Of& of, int thread, Shared& shared, Kept& kept) {
  if constexpr (kWeights == kInShared) {
    for (int i = thread; i < kSliceVectors; i += kBlockThreads) {
      const int k = i % kRowVectors, g = i / kRowVectors % Layer::gates;
      const int unit = of.block * kUnits + i / (kRowVectors * Layer::gates);
      if (unit < kHidden) shared.weights[i] = weights_in_memory(arguments, unit, g, k * kVector);
    }
  }
  if constexpr (kWeights == kInRegisters) {
#pragma unroll
    for (int u = 0; u < kUnitsOfWarp; ++u)
#pragma unroll
      for (int g = 0; g < Layer::gates; ++g)
#pragma unroll
        for (int c = 0; c < kChunks; ++c) {
          const int k = (c * 32 + of.lane) * kVector;
          Pack<Memory, kVector> w = {};
          if (has_unit(of, u) && k < kHidden) w = weights_in_memory(arguments, unit_of(of, u), g, k);
          kept.at[(u * Layer::gates + g) * kChunks + c] = w;
        }
  }
}

// Products of `count` gates from `first` on, of the unit and the row that this lane keeps.
template <int first, int count>
KILN_DEVICE void multiply(const Arguments& arguments, const Of& of, const Shared& shared, const Kept& kept,
                          const Value* states, Value (&products)[count]) {
#pragma unroll
  for (int u = 0; u < kUnitsOfWarp; ++u) {
    if (!has_unit(of, u)) continue;
    Value sums[count][kTile] = {};
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      const int k = (c * 32 + of.lane) * kVector;
      if (kHidden % (32 * kVector) != 0 && k >= kHidden) continue;
      Pack<Memory, kVector> w[count];
#pragma unroll
      for (int g = 0; g < count; ++g) {
        if constexpr (kWeights == kInRegisters)
          w[g] = kept.at[(u * Layer::gates + first + g) * kChunks + c];
        else if constexpr (kWeights == kInShared)
          w[g] = shared.weights[((u * kWarps + of.warp) * Layer::gates + first + g) * kRowVectors + k / kVector];
        else
          w[g] = weights_in_memory(arguments, unit_of(of, u), first + g, k);
      }
      add_products<count, kTile, kVector>(sums, w, states + k, kPitch);
    }
#pragma unroll
    for (int g = 0; g < count; ++g) {
      const Value sum = sum_of_row<kTile>(sums[g], of.lane);
      if (u == of.lane % kLanesOfRow) products[g] = sum;
    }
  }
}

// Posts this lane's state, and waits for those of all blocks, which it puts into shared memory.
KILN_DEVICE void meet(const Of& of, int thread, Value state, u32& turn, States& messages, Shared& shared) {
  ++turn;
  u64* const set = messages.of_turn[turn % 2];
  if (of.keeps) post_word(set + of.in_tile * kPitch + of.unit, tagged(state, turn));
  Value* const states = shared.states[turn % 2];
  for (int i = thread; i < kTile * kPitch / 2; i += kBlockThreads) {
    const int j = 2 * i % kPitch;  // which lies beyond the units in a row's padding
    if (j >= kHidden) continue;
    const bool both = kHidden % 2 == 0 || j + 1 < kHidden;
    Message message;
    do message = posted(reinterpret_cast<const Message*>(set) + i);
    while (!is_of(message.words[0], turn) || (both && !is_of(message.words[1], turn)));
    states[2 * i] = untagged<Value>(message.words[0]);
    if (both) states[2 * i + 1] = untagged<Value>(message.words[1]);
  }
  block_barrier();
}

// A template, since what is for one kind of cell does not compile for another.
template <class L>
KILN_DEVICE void run(const Arguments& arguments) {
  Shared& shared = *static_cast<Shared*>(shared_memory());
  const int thread = static_cast<int>(thread_index());
  Of of = {thread / 32, thread % 32, static_cast<int>(block_index()) % kGroupBlocks, 0, thread % 32 / kLanesOfRow,
           false};
  const int u = of.lane % kLanesOfRow;
  of.unit = unit_of(of, u);
  of.keeps = u < kUnitsOfWarp && has_unit(of, u);
  const index_t group = static_cast<index_t>(block_index()) / kGroupBlocks;
  States& messages = static_cast<States*>(arguments.at[kMessages])[group];
  Kept kept;
  keep_weights(arguments, of, thread, shared, kept);

  u32 turn = 0;
  for (index_t tile = group; tile < kTiles; tile += kGroups) {
    int longest = 0;
    for (int r = 0; r < kTile; ++r)
      if (tile * kTile + r < kBatch) {
        const int length = steps_of(lengths(arguments)[tile * kTile + r], kSteps);
        longest = length > longest ? length : longest;
      }
    Value* const first = shared.states[turn % 2];
    for (int i = thread; i < kTile * kPitch; i += kBlockThreads) {
      const index_t row = tile * kTile + i / kPitch;
      const int j = i % kPitch;
      first[i] = row < kBatch && j < kHidden ? value_of(first_hidden(arguments)[row * kHidden + j]) : Value(0);
    }
    block_barrier();  // the weights are in shared memory too

    const index_t row = tile * kTile + of.in_tile;
    const bool takes = of.keeps && row < kBatch;
    const int length = takes ? steps_of(lengths(arguments)[row], kSteps) : 0;
    Value h = 0, c = 0;
    if (takes) {
      h = value_of(first_hidden(arguments)[row * kHidden + of.unit]);
      if constexpr (L::cell == Cell::lstm) c = value_of(first_cell(arguments)[row * kHidden + of.unit]);
    }
    for (int t = 0; t < longest; ++t) {
      const int place = place_of_step<kReverse>(t, length);
      Added<L> added;
      if (takes) load_added(arguments, place, row, of.unit, added);
      const Value* const states = shared.states[turn % 2];
      Value next = h, next_c = c;
      Value products[kFirst] = {};
      multiply<0, kFirst>(arguments, of, shared, kept, states, products);
      if constexpr (resets_before<L>) {
        Value update = 0, reset = 0;
        if (takes) reset = reset_state<L>(products, added, h, update);
        meet(of, thread, reset, turn, messages, shared);
        Value product[1] = {};
        multiply<2, 1>(arguments, of, shared, kept, shared.states[turn % 2], product);
        if (takes) step_after_reset<L>(product, added, update, next);
      } else {
        if (takes) step<L>(products, added, next, next_c);
      }
      if (t < length) {
        h = next;
        c = next_c;
      }
      if constexpr (kHasAll)
        if (takes)
          all_hidden(arguments)[(static_cast<index_t>(place) * kBatch + row) * kHidden + of.unit] =
              Element<Memory>::of(t < length ? h : Value(0));
      meet(of, thread, h, turn, messages, shared);
    }
    if (takes) {
      if constexpr (kHasLast) last_hidden(arguments)[row * kHidden + of.unit] = Element<Memory>::of(h);
      if constexpr (kHasCell) last_cell(arguments)[row * kHidden + of.unit] = Element<Memory>::of(c);
      if constexpr (kHasAll)
        for (index_t t = longest; t < kSteps; ++t)
          all_hidden(arguments)[(t * kBatch + row) * kHidden + of.unit] = Element<Memory>::of(Value(0));
    }
  }
}

// No block of the first launch has met another.
KILN_ENTRY(KILN_NUMBERED(KILN_KERNEL, 0)) {
  constexpr u32 count = kGroups * sizeof(States) / sizeof(u64);
  u64* const words = static_cast<u64*>(arguments.at[kMessages]);
  for (u32 i = block_index() * kBlockThreads + thread_index(); i < count; i += block_count() * kBlockThreads)
    words[i] = 0;
}

KILN_ENTRY_SIDE_BY_SIDE(KILN_NUMBERED(KILN_KERNEL, 1), 1) { run<Layer>(arguments); }
