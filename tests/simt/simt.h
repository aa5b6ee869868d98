// The wrappers of store/corpus/templates/device/types.cuh on a CPU: a kernel's text includes this file in their place
// when KILN_EMULATION names it. Everything else of the text is compiled as it is.
#pragma once

#define KILN_DEVICE inline
// Beside each kernel, how many bytes of parameters it takes: what a driver knows from a cubin.
#define KILN_ENTRY(symbol) KILN_ENTRY_OF(symbol)
#define KILN_ENTRY_OF(symbol)                            \
  extern "C" {                                           \
  unsigned symbol##_parameter_bytes = sizeof(Arguments); \
  }                                                      \
  extern "C" void symbol(const Arguments& arguments)
#define KILN_ENTRY_SIDE_BY_SIDE(symbol, blocks) KILN_ENTRY(symbol)

inline u32 thread_index() { return kiln_simt_thread_index(); }
inline u32 block_index() { return kiln_simt_block_index(); }
inline u32 block_count() { return kiln_simt_block_count(); }
inline void block_barrier() { kiln_simt_barrier(); }
inline void* shared_memory() { return kiln_simt_shared(); }
inline u32 cluster_rank() { return kiln_simt_cluster_rank(); }
inline void cluster_barrier() { kiln_simt_cluster_barrier(); }
template <class T>
inline const T* in_block(const T* at, u32 rank) {
  return static_cast<const T*>(kiln_simt_in_block(at, rank));
}
inline u32 shuffle_xor(u32 x, u32 mask) { return kiln_simt_shuffle_xor(x, mask); }
template <int bytes>
inline void copy_async(void* shared, const void* from) {
  if (reinterpret_cast<u64>(from) % bytes != 0 || reinterpret_cast<u64>(shared) % bytes != 0) __builtin_trap();
  __builtin_memcpy(shared, from, bytes);
}
inline void copies_arrive() {}
inline void copies_commit() {}
template <int count>
inline void copies_arrive_but() {}
template <class Message>
inline void post(Message* to, Message message) {
  *to = message;
}
inline void post_word(u64* to, u64 word) { *to = word; }
template <class Message>
inline Message posted(const Message* at) {
  kiln_simt_look_again();
  return *at;
}
inline f32 rounded_sum(f32 a, f32 b) { return a + b; }  // compiled without contraction
inline f32 fused(f32 a, f32 b, f32 c) { return fmaf(a, b, c); }

inline f32 to_f32(f16 x) {
  _Float16 half;
  __builtin_memcpy(&half, &x, sizeof half);
  return static_cast<f32>(half);
}
inline f16 to_f16(f32 x) {
  const auto half = static_cast<_Float16>(x);
  f16 out;
  __builtin_memcpy(&out, &half, sizeof half);
  return out;
}
inline f32 to_f32(bf16 x) {
  const u32 bits = static_cast<u32>(x.bits) << 16;
  f32 out;
  __builtin_memcpy(&out, &bits, sizeof bits);
  return out;
}
// Rounds to nearest, ties to even; a NaN stays one.
inline bf16 to_bf16(f32 x) {
  u32 bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  if (!nan) bits += 0x7fffu + ((bits >> 16) & 1u);
  return {static_cast<u16>(nan ? 0x7fffu : bits >> 16)};
}

// An access that the hardware would refuse ends the program.
template <class Words>
inline Words aligned_load(const void* from) {
  if (reinterpret_cast<u64>(from) % sizeof(Words) != 0) __builtin_trap();
  Words words;
  __builtin_memcpy(&words, from, sizeof words);
  return words;
}
template <bool streaming>
inline Words4 load_words4(const void* from) {
  return aligned_load<Words4>(from);
}
template <bool streaming>
inline Words2 load_words2(const void* from) {
  return aligned_load<Words2>(from);
}
template <bool streaming>
inline u32 load_word(const void* from) {
  return aligned_load<u32>(from);
}
template <bool streaming>
inline void store_words4(void* to, Words4 words) {
  if (reinterpret_cast<u64>(to) % sizeof words != 0) __builtin_trap();
  __builtin_memcpy(to, &words, sizeof words);
}

inline f32 fast_exp(f32 x) { return expf(x); }
inline f32 fast_log(f32 x) { return logf(x); }
inline f32 fast_div(f32 a, f32 b) { return a / b; }
inline f32 fast_exp2(f32 x) { return exp2f(x); }
inline f32 fast_choice(f32 a, f32 b, f32 x, f32 y) { return a < b ? x : y; }
inline f32 fast_rsqrt(f32 x) { return 1.0f / sqrtf(x); }

// As store/corpus/templates/device/matrix.cuh: every lane gets its rows of A from the lanes of its g, and the two
// columns of B that its sums are in from those that have them.
template <class T>
inline void add_matrix_product(f32 (&sums)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  const u32 lane = thread_index() % 32, t = lane % 4;
  f32 rows[2][16], columns[2][16];
  const auto put_words = [](f32* to, u32 first, u32 second) {
    T halves[4];
    __builtin_memcpy(halves, &first, sizeof first);
    __builtin_memcpy(halves + 2, &second, sizeof second);
    for (int i = 0; i < 4; ++i) to[i] = to_f32(halves[i]);
  };
  for (u32 mask = 0; mask < 32; ++mask) {
    u32 words[6];
    for (int i = 0; i < 4; ++i) words[i] = shuffle_xor(a[i], mask);
    for (int i = 0; i < 2; ++i) words[4 + i] = shuffle_xor(b[i], mask);
    const u32 of = lane ^ mask, place = of % 4 * 4;
    if (of / 4 == lane / 4)
      for (int half = 0; half < 2; ++half) put_words(rows[half] + place, words[half], words[2 + half]);
    for (u32 column = 0; column < 2; ++column)
      if (of / 4 == 2 * t + column) put_words(columns[column] + place, words[4], words[5]);
  }
  for (int half = 0; half < 2; ++half)
    for (int column = 0; column < 2; ++column)
      for (int k = 0; k < 16; ++k) sums[2 * half + column] += rows[half][k] * columns[column][k];
}
