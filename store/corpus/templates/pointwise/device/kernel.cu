// Data movement: every operand is read once and every result written once, kVector neighbours of a row at a time;
// nothing stays on chip and nothing is recomputed. The floor is bytes / bandwidth. What limits it in practice is too
// few bytes in flight: each thread has kItems loads per operand under way before the first is used. Neighbouring
// threads take neighbouring vectors, so that a warp's accesses are whole cache lines.

KILN_ENTRY(KILN_KERNEL) {
  const index_t first =
      static_cast<index_t>(block_index()) * (kBlockThreads * kItems) + static_cast<index_t>(thread_index());
  Loaded loaded[kItems];
#pragma unroll
  for (int i = 0; i < kItems; ++i)
    if (first + i * kBlockThreads < kVectors) load(arguments, first + i * kBlockThreads, loaded[i]);
#pragma unroll
  for (int i = 0; i < kItems; ++i)
    if (first + i * kBlockThreads < kVectors) finish(arguments, first + i * kBlockThreads, loaded[i]);
}
