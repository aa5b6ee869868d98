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
