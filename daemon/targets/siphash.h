#pragma once
// SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): who does not know the key finds no two
// messages of one hash. Read by the host's compiler and, as part of the text of the oracle's kernels, by a GPU's.
#ifndef KILN_DEVICE  // the host: kernels have it from their prelude
#define KILN_DEVICE inline
#endif

namespace kiln::targets {

class SipHash {
 public:
  using Word = unsigned long long;

  KILN_DEVICE SipHash(Word key0, Word key1)
      : a_(key0 ^ 0x736f6d6570736575ull),
        b_(key1 ^ 0x646f72616e646f6dull),
        c_(key0 ^ 0x6c7967656e657261ull),
        d_(key1 ^ 0x7465646279746573ull) {}

  // The next 8 bytes of the message, little-endian.
  KILN_DEVICE void add(Word word) {
    d_ ^= word;
    round();
    round();
    a_ ^= word;
  }
  // `last`: the bytes after those, and in its highest byte the length of the message modulo 256.
  KILN_DEVICE Word finish(Word last) {
    add(last);
    c_ ^= 0xff;
    for (int i = 0; i < 4; ++i) round();
    return a_ ^ b_ ^ c_ ^ d_;
  }

 private:
  KILN_DEVICE static Word rotated(Word x, int by) { return x << by | x >> (64 - by); }
  KILN_DEVICE void round() {
    a_ += b_;
    b_ = rotated(b_, 13) ^ a_;
    a_ = rotated(a_, 32);
    c_ += d_;
    d_ = rotated(d_, 16) ^ c_;
    a_ += d_;
    d_ = rotated(d_, 21) ^ a_;
    c_ += b_;
    b_ = rotated(b_, 17) ^ c_;
    c_ = rotated(c_, 32);
  }

  Word a_, b_, c_, d_;
};

}  // namespace kiln::targets
