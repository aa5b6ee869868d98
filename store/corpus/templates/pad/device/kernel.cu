// Data movement: each element of the result is written once and each element of x that it keeps read once.
// Neighbouring threads write neighbours of the result. The floor is the bytes at copy bandwidth.

KILN_ENTRY(KILN_KERNEL) {
  const index_t first =
      static_cast<index_t>(block_index()) * (kBlockThreads * kItems) + static_cast<index_t>(thread_index());
#pragma unroll
  for (int u = 0; u < kItems; ++u) {
    const index_t element = first + u * kBlockThreads;
    if (element < kElements) copy_one(arguments, element);
  }
}
