// Data movement: a block takes kTile rows of the batch through all steps. In each step a warp takes one unit after
// another: it reads the unit's recurrent weights, which the second-level cache holds for all blocks, and the states
// of the rows out of shared memory; lanes share a unit's products and one of them for each row makes the new state. x
// is read and the results are written once. The floor is 2 steps batch gates hidden^2 / peak; in practice a block's
// share of the second-level cache's bandwidth for the weights, once per step, and with few rows most of the GPU has
// nothing to do (recurrent/persistent shares a row's units among blocks).

constexpr int kWarps = kBlockThreads / 32;
constexpr int kPitch = (kHidden + 3) / 4 * 4;       // of a row of states in shared memory
constexpr int kLanesOfRow = 32 / kTile;             // that have a row's sums
constexpr int kFirst = first_gates<Layer>;
using Value = Layer::Value;

struct Row {
  index_t row;  // of the batch
  int length;   // steps
  bool active;
};

// Products of `count` gates from `first` on for one unit; a lane gets those of its row.
template <int first, int count>
KILN_DEVICE void multiply(const Memory* weights, int unit, const Value* states, int lane, Value (&products)[count]) {
  Value sums[count][kTile] = {};
  const Memory* const of_unit = weights + (static_cast<index_t>(first) * kHidden + unit) * kHidden;
#pragma unroll(kUnroll)
  for (int k = lane * kVector; k < kHidden; k += 32 * kVector) {
    Pack<Memory, kVector> w[count];
#pragma unroll
    for (int g = 0; g < count; ++g)
      w[g] = load_pack<false, Memory, kVector>(of_unit + static_cast<index_t>(g) * kHidden * kHidden + k);
    add_products<count, kTile, kVector>(sums, w, states + k, kPitch);
  }
#pragma unroll
  for (int g = 0; g < count; ++g) products[g] = sum_of_row<kTile>(sums[g], lane);
}

// A template, since what is for one kind of cell does not compile for another.
template <class L>
KILN_DEVICE void run(const Arguments& arguments) {
  const int thread = static_cast<int>(thread_index()), warp = thread / 32, lane = thread % 32;
  const int in_tile = lane / kLanesOfRow;  // the row whose sums this lane has
  const bool leads = lane % kLanesOfRow == 0;
  Value* states = static_cast<Value*>(shared_memory());  // h, at first
  Value* next = states + kTile * kPitch;                 // h after the step; what a reset leaves of h
  Value* const cells = next + kTile * kPitch;            // c; or the update gate where a step has two products
  const index_t tile = static_cast<index_t>(block_index()) * kTile;

  int longest = 0;
#pragma unroll
  for (int r = 0; r < kTile; ++r)
    if (tile + r < kBatch) {
      const int length = steps_of(lengths(arguments)[tile + r], kSteps);
      longest = length > longest ? length : longest;
    }
  for (int i = thread; i < kTile * kPitch; i += kBlockThreads) {
    const int r = i / kPitch, j = i % kPitch;
    const bool inside = tile + r < kBatch && j < kHidden;
    const index_t at = (tile + r) * kHidden + j;
    states[i] = inside ? static_cast<Value>(value_of(first_hidden(arguments)[at])) : Value(0);
    if constexpr (L::cell == Cell::lstm)
      cells[i] = inside ? static_cast<Value>(value_of(first_cell(arguments)[at])) : Value(0);
  }
  Row own = {tile + in_tile, 0, tile + in_tile < kBatch};
  if (own.active) own.length = steps_of(lengths(arguments)[own.row], kSteps);
  block_barrier();

  for (int t = 0; t < longest; ++t) {
    const int place = place_of_step<kReverse>(t, own.length);
    const bool takes = own.active && leads;
    if constexpr (resets_before<L>) {
      for (int unit = warp; unit < kHidden; unit += kWarps) {
        Added<L> added;
        if (takes) load_added(arguments, place, own.row, unit, added);
        Value products[kFirst];
        multiply<0, kFirst>(weights(arguments), unit, states, lane, products);
        const int at = in_tile * kPitch + unit;
        if (takes) next[at] = reset_state<L>(products, added, states[at], cells[at]);
      }
      block_barrier();
    }
    for (int unit = warp; unit < kHidden; unit += kWarps) {
      Added<L> added;
      if (takes) load_added(arguments, place, own.row, unit, added);
      const int at = in_tile * kPitch + unit;
      Value h = takes ? states[at] : Value(0);
      const Value before = h;
      if constexpr (resets_before<L>) {
        Value product[1];
        multiply<2, 1>(weights(arguments), unit, next, lane, product);
        if (takes) step_after_reset<L>(product, added, cells[at], h);
      } else {
        Value products[kFirst];
        multiply<0, kFirst>(weights(arguments), unit, states, lane, products);
        Value c = takes && L::cell == Cell::lstm ? cells[at] : Value(0);
        if (takes) step<L>(products, added, h, c);
        if (L::cell == Cell::lstm && takes && t < own.length) cells[at] = c;
      }
      if (!takes) continue;
      const bool ended = t >= own.length;
      // What a reset leaves of h is still being read: the state itself is read by this lane alone.
      (resets_before<L> ? states : next)[at] = ended ? before : h;
      if constexpr (kHasAll)
        all_hidden(arguments)[(static_cast<index_t>(place) * kBatch + own.row) * kHidden + unit] =
            Element<Memory>::of(ended ? Value(0) : h);
    }
    block_barrier();
    if constexpr (!resets_before<L>) {
      Value* const swap = states;
      states = next;
      next = swap;
    }
  }

  for (int i = thread; i < kTile * kHidden; i += kBlockThreads) {
    const int r = i / kHidden, j = i % kHidden;
    if (tile + r >= kBatch) break;
    const index_t at = (tile + r) * kHidden + j;
    if constexpr (kHasLast) last_hidden(arguments)[at] = Element<Memory>::of(states[r * kPitch + j]);
    if constexpr (kHasCell) last_cell(arguments)[at] = Element<Memory>::of(cells[r * kPitch + j]);
    if constexpr (kHasAll)
      for (index_t t = longest; t < kSteps; ++t)
        all_hidden(arguments)[t * kBatch * kHidden + at] = Element<Memory>::of(Value(0));
  }
}

KILN_ENTRY(KILN_KERNEL) { run<Layer>(arguments); }
