// Blocks that all run at the same time (a cooperative launch) and meet through device memory: one publishes, others wait
// (PTX ISA, "Memory Consistency Model": what a thread wrote before a release, another reads after the acquire that saw
// it).

#ifndef KILN_EMULATION
KILN_DEVICE void publish(u32* flag, u32 value) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}
KILN_DEVICE void wait_for(const u32* flag, u32 value) {
  u32 seen;
  do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
  while (seen != value);
}
#endif

// What the blocks of a row tell each other, in device memory that was zeroed before the launch. Two sets in turn: a
// block writes one of them again only after all have met with the other, which each does after reading the first.
template <int blocks, int most_reductions>
struct RowPartials {
  Slot of_blocks[2][blocks * most_reductions];
  u32 met[2][blocks];  // the last turn that a block has published there
};

// Where the threads of one block combine the partial results of a row's passes, and those of the row's other blocks;
// in shared memory. `blocks` is a power of two.
template <int warps, int blocks, int most_reductions>
struct GridSlots {
  Slot of_warps[warps * most_reductions];
  Slot of_blocks[blocks * most_reductions];

  // Each thread gets what all threads of the row's blocks have together. `turn` counts a block's meetings from 1.
  template <class Pass>
  KILN_DEVICE void meet(int thread, int block, u32& turn, RowPartials<blocks, most_reductions>& partials, Pass& part) {
    part.template reduce_warp<32>();
    if constexpr (Pass::reductions > 0) {
      Slot* const published = partials.of_blocks[turn % 2];
      u32* const met = partials.met[turn % 2];
      if (thread % 32 == 0) part.put_slots(of_warps + thread / 32 * most_reductions);
      block_barrier();
      if (thread < 32) {
        part.take_slots(of_warps + thread % warps * most_reductions, 1, most_reductions);
        part.template reduce_warp<warps>();
        if (thread == 0) {
          part.put_slots(published + block * most_reductions);
          publish(met + block, turn);
        }
      }
      if (thread < blocks) {
        wait_for(met + thread, turn);
#pragma unroll
        for (int r = 0; r < most_reductions; ++r)
          of_blocks[thread * most_reductions + r] = published[thread * most_reductions + r];
      }
      block_barrier();
      constexpr int lanes = blocks < 32 ? blocks : 32;
      part.take_slots(of_blocks + thread % lanes * most_reductions, blocks / lanes, lanes * most_reductions);
      part.template reduce_warp<lanes>();
      ++turn;
    }
  }
};
