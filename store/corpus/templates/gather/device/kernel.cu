// Data movement: the selected rows are read once, each operand of the expression once, each result written once.
// Neighbouring threads take neighbours of a row. The floor is those bytes at memory bandwidth; short rows are limited
// by the latency of their index.

KILN_ENTRY(KILN_KERNEL) {
  constexpr index_t kElements = kOuter * kIndexCount * kInner;
  const index_t first =
      static_cast<index_t>(block_index()) * (kBlockThreads * kItems) + static_cast<index_t>(thread_index());
#pragma unroll
  for (int u = 0; u < kItems; ++u) {
    const index_t element = first + u * kBlockThreads;
    if (element < kElements)
      gather_one(arguments, element / kInner / kIndexCount, element / kInner % kIndexCount, element % kInner);
  }
}
