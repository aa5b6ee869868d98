// Data movement: one block computes one row of the result. Its scores against all keys stay in shared memory, so that
// the matrix of scores is never written; keys and values are read once per row of queries, from the second-level
// cache as long as a head's fit it. This is the template that is right everywhere: attention in tiles on tensor cores
// is another.

// Over all threads of the block; each gets the result.
template <class Operation>
KILN_DEVICE f32 over_block(f32 x, Slot* slots) {
  constexpr int kWarps = kBlockThreads / 32;
  x = reduce_lanes<Operation, 32>(x);
  block_barrier();  // the slots of the reduction before have been read
  if (thread_index() % 32 == 0) put(slots + thread_index() / 32, x);
  block_barrier();
  return combine_slots<Operation, f32>(slots, kWarps, 1);
}

KILN_ENTRY(KILN_KERNEL) {
  Slot* slots = static_cast<Slot*>(shared_memory());
  f32* scores = reinterpret_cast<f32*>(slots + kBlockThreads / 32);
  const index_t thread = static_cast<index_t>(thread_index());
  const index_t i = static_cast<index_t>(block_index()) % kS;
  const Place at = place_of(static_cast<index_t>(block_index()) / kS);

  f32 largest = -infinity<f32>();
  for (index_t j = thread; j < kT; j += kBlockThreads) {
    f32 score = 0;
    for (index_t d = 0; d < kD; ++d) score += load_q(arguments, at, i, d) * load_k(arguments, at, j, d);
    score = masked(arguments, at, i, j, score * kScale);
    if (kCausal && j > i + (kT - kS)) score = -infinity<f32>();
    scores[j] = score;
    largest = op_max(largest, score);
  }
  largest = over_block<Greatest>(largest, slots);

  f32 total = 0;
  for (index_t j = thread; j < kT; j += kBlockThreads) {
    // A score that does not count weighs nothing, also in a row where none does.
    const f32 weight = scores[j] == -infinity<f32>() ? 0.0f : op_exp(scores[j] - largest);
    scores[j] = weight;
    total += weight;
  }
  total = over_block<Sum>(total, slots);
  block_barrier();

  for (index_t e = thread; e < kE; e += kBlockThreads) {
    f32 sum = 0;
    for (index_t j = 0; j < kT; ++j)
      if (scores[j] != 0.0f) sum += scores[j] * load_v(arguments, at, j, e);
    // Weights are at most 1 and one of them is 1, unless no key counts or a score is not a number.
    store_out(arguments, at, i, e, kGuarded && !(total > 0.0f) ? 0.0f : sum / total);
  }
}
