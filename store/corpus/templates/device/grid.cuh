// Blocks that all run at the same time (a cooperative launch) and meet through device memory, by messages that are
// whole or not there: no fence orders them behind the results that a block is still writing, which would take as long
// as those do (PTX ISA, "Memory Consistency Model": an access of 8 bytes is not torn, nor is one element of a vector).

// Two words of 8 bytes, side by side.
struct alignas(16) Message {
  u64 words[2];
};

#ifndef KILN_EMULATION
KILN_DEVICE void post(Message* to, Message message) {
  asm volatile("st.relaxed.gpu.global.v2.u64 [%0], {%1, %2};" ::"l"(to), "l"(message.words[0]), "l"(message.words[1])
               : "memory");
}
KILN_DEVICE Message posted(const Message* at) {
  Message message;
  asm volatile("ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];"
               : "=l"(message.words[0]), "=l"(message.words[1])
               : "l"(at)
               : "memory");
  return message;
}
// One word of a message by itself, of whoever has it.
KILN_DEVICE void post_word(u64* to, u64 word) {
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to), "l"(word) : "memory");
}
#endif

// A value of 4 bytes with the turn it belongs to.
template <class T>
KILN_DEVICE u64 tagged(T value, u32 turn) {
  return static_cast<u64>(turn) << 32 | bit_copy<u32>(value);
}
KILN_DEVICE bool is_of(u64 word, u32 turn) { return word >> 32 == turn; }
template <class T>
KILN_DEVICE T untagged(u64 word) {
  return bit_copy<T>(static_cast<u32>(word));
}

// A slot's halves, each with the turn it belongs to.
KILN_DEVICE void post_slot(Message* to, Slot slot, u32 turn) {
  const u64 tag = static_cast<u64>(turn) << 32;
  post(to, {{tag | (slot & 0xffffffffu), tag | (slot >> 32)}});
}
KILN_DEVICE Slot await_slot(const Message* at, u32 turn) {
  Message message;
  do message = posted(at);
  while (message.words[0] >> 32 != turn || message.words[1] >> 32 != turn);
  return (message.words[1] << 32) | (message.words[0] & 0xffffffffu);
}

// What the blocks of a row tell each other, in device memory that was zeroed before the launch. Two sets in turn: a
// block posts into one of them again only after all have met by the other, which each does after reading the first.
template <int blocks, int most_reductions>
struct RowMessages {
  Message of_blocks[2][blocks * most_reductions];
};

// Where the threads of one block combine the partial results of a row's passes, and those of the row's other blocks;
// in shared memory. `warps` and `blocks` are powers of two.
template <int warps, int blocks, int most_reductions>
struct GridSlots {
  Slot of_warps[warps * most_reductions];
  Slot of_blocks[blocks * most_reductions];

  // Each thread gets what all threads of the row's blocks have together. `turn` counts a block's meetings from 1.
  template <class Pass>
  KILN_DEVICE void meet(int thread, int block, u32& turn, RowMessages<blocks, most_reductions>& messages, Pass& part) {
    part.template reduce_warp<32>();
    if constexpr (Pass::reductions > 0) {
      Message* const set = messages.of_blocks[turn % 2];
      if (thread % 32 == 0) part.put_slots(of_warps + thread / 32 * most_reductions);
      block_barrier();
      if (thread < 32) {
        part.take_slots(of_warps + thread % warps * most_reductions, 1, most_reductions);
        part.template reduce_warp<warps>();
        if (thread == 0) {
          Slot of_block[most_reductions] = {};
          part.put_slots(of_block);
#pragma unroll
          for (int r = 0; r < most_reductions; ++r) post_slot(set + block * most_reductions + r, of_block[r], turn);
        }
      }
      if (thread < blocks * most_reductions) of_blocks[thread] = await_slot(set + thread, turn);
      block_barrier();
      constexpr int lanes = blocks < 32 ? blocks : 32;
      part.take_slots(of_blocks + thread % lanes * most_reductions, blocks / lanes, lanes * most_reductions);
      part.template reduce_warp<lanes>();
      ++turn;
    }
  }
};
