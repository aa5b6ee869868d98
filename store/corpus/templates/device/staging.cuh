// Copies from memory into shared memory that need no register (PTX ISA, "cp.async"). The thread that asked for them
// reads them after copies_arrive(); others after a barrier behind it.

#ifndef KILN_EMULATION
template <int bytes>
KILN_DEVICE void copy_async(void* shared, const void* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(static_cast<u32>(__cvta_generic_to_shared(shared))),
               "l"(from), "n"(bytes)
               : "memory");
}
KILN_DEVICE void copies_arrive() { asm volatile("cp.async.wait_all;" ::: "memory"); }
// The copies that the thread has asked for since the last call are a group; all but the last `count` groups arrive.
KILN_DEVICE void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int count>
KILN_DEVICE void copies_arrive_but() {
  asm volatile("cp.async.wait_group %0;" ::"n"(count) : "memory");
}
#endif

// `from` is aligned as the pack is. Fewer than the four bytes of the shortest copy go through a register.
template <class T, int count>
KILN_DEVICE void stage_pack(Pack<T, count>* shared, const T* from) {
  constexpr int bytes = sizeof(Pack<T, count>), part = bytes < 16 ? bytes : 16;
  if constexpr (bytes < 4) {
    *shared = *reinterpret_cast<const Pack<T, count>*>(from);
  } else {
#pragma unroll
    for (int at = 0; at < bytes; at += part)
      copy_async<part>(reinterpret_cast<u8*>(shared) + at, reinterpret_cast<const u8*>(from) + at);
  }
}
