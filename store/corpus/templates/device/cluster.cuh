// The blocks of a cluster, from sm_90 on: they run at the same time and read each other's shared memory (PTX ISA,
// "cluster_ctarank", "barrier.cluster" and "mapa").

#ifndef KILN_EMULATION
KILN_DEVICE u32 cluster_rank() {
  u32 rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
// All threads of the cluster meet; what each wrote before, all of them read after.
KILN_DEVICE void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.aligned;\n  barrier.cluster.wait.aligned;" ::: "memory");
}
// What lies at `at` of this block's shared memory, in that of the cluster's block `rank`.
template <class T>
KILN_DEVICE const T* in_block(const T* at, u32 rank) {
  const T* there;
  asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(at), "r"(rank));
  return there;
}
#endif

// Where the blocks of a cluster combine the partial results of a row's passes: slots for each warp of this block, two
// sets of the block's own results in turn, since another block may still read those of the pass before, and those of
// all blocks. One in each block's shared memory.
template <int warps, int blocks, int most_reductions>
struct ClusterSlots {
  Slot of_warps[warps * most_reductions];
  Slot own[2][most_reductions];
  Slot of_blocks[blocks * most_reductions];

  // Each thread gets what all threads of the cluster have together.
  template <class Pass>
  KILN_DEVICE void meet(int thread, int& turn, Pass& part) {
    part.template reduce_warp<32>();
    if constexpr (Pass::reductions > 0) {
      if (thread % 32 == 0) part.put_slots(of_warps + thread / 32 * most_reductions);
      block_barrier();
      share_slots<warps>(part, of_warps, thread, most_reductions);
      if (thread == 0) part.put_slots(own[turn]);
      cluster_barrier();
      if (thread < blocks * most_reductions)
        of_blocks[thread] =
            *in_block(own[turn] + thread % most_reductions, static_cast<u32>(thread / most_reductions));
      block_barrier();
      share_slots<blocks>(part, of_blocks, thread, most_reductions);
      turn = 1 - turn;
    }
  }
};
