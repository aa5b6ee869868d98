// Figures of arrays in a GPU's memory, found there; only they come back. The same on every device: parts are cut by
// the number of elements alone, and added up in one order. Private to daemon/worker/device_oracle.
#pragma once

#include <cstdint>
#include <string>

#include "agents/artifacts/facts.h"
#include "daemon/worker/conditioning.h"
#include "daemon/worker/device_oracle/device_array.h"
#include "daemon/worker/inputs.h"

namespace kiln::worker::device {

// Parts that an array of so many elements is gone over in.
[[nodiscard]] std::int64_t lanes_of(std::int64_t count);

// One tensor of the model's type in device memory.
struct Raw {
  graph::TensorType type;
  void* base = nullptr;

  [[nodiscard]] std::int64_t count() const { return graph::element_count(type.shape); }
};

// make_input(): the same bits, times 2^power.
void draw(const Launcher& launcher, const InputDraw& how, int power, const Raw& to);
// The first element that is not what draw() would put there; -1: there is none.
[[nodiscard]] std::int64_t first_redrawn(const Launcher& launcher, const InputDraw& how, int power, const Raw& found);
// to = from * 2^power, rounded to their type, as draw() does it.
void rescale(const Launcher& launcher, const Raw& from, int power, const Raw& to);
// On the launcher's stream; not waited for.
void copy(const Launcher& launcher, const void* from, void* to, std::size_t bytes);
// `moved` of daemon/worker/conditioning.cpp, in place.
void nudge(const Launcher& launcher, std::uint64_t seed, const Raw& at);

// Each the first element, or -1, as arguments.h says of kernels::Find.
[[nodiscard]] std::int64_t first_poisoned(const Launcher& launcher, const Raw& a, std::byte poison);
[[nodiscard]] std::int64_t first_different(const Launcher& launcher, const Raw& a, const Raw& b);
[[nodiscard]] std::int64_t first_unscaled(const Launcher& launcher, const Raw& a, const Raw& b, int power);
// The first element of b that rescale(a, power) would not put there.
[[nodiscard]] std::int64_t first_unrescaled(const Launcher& launcher, const Raw& a, const Raw& b, int power);

// compare_output() (daemon/worker/compare.h), whose sums are in double here: equal to some units in the twelfth digit.
// `plain` and `expected` are multiplied by 2^power first.
[[nodiscard]] agents::ErrorFact compare(const Launcher& launcher, const Raw& output, const Array& plain,
                                        const Array& expected, int power);

// `difference` of daemon/worker/conditioning.cpp: of an evaluation in the model's types from the right one.
[[nodiscard]] Conditioning difference(const Launcher& launcher, const Array& got, const Array& expected);

// (sum x^2)^2 / sum x^4 over the finite elements; 1 where all are zero.
[[nodiscard]] double effective_count(const Launcher& launcher, const Array& x);

// Who does not know the key makes no two contents of one digest: SipHash-2-4 of each part, of those parts' hashes in
// fewer parts, and of these in their order.
// 64 bits. No cryptographic hash: it tells contents apart within one check, and is no name for them.
struct HashKey { std::uint64_t low = 0, high = 0; };
class TreeHash {
 public:
  TreeHash(const Launcher& launcher, const HashKey& key);
  void add(const void* base, std::int64_t bytes);
  // An array as its model's type holds it, multiplied by 2^power.
  void add(const Array& array, int power);
  [[nodiscard]] std::string finish() const;  // "siphash-tree:" and 16 hexadecimal digits

 private:
  const Launcher& launcher_;
  const HashKey key_;
  std::vector<std::uint64_t> leaves_;
};

}  // namespace kiln::worker::device
