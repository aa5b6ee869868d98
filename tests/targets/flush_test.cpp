#include "daemon/targets/cpu/flush.h"

#include <doctest/doctest.h>

using kiln::targets::cpu::flush_bytes;

TEST_CASE("a flush writes twice the last level of cache, however large, and no less than suits most nodes") {
  constexpr std::size_t mib = 1 << 20;
  CHECK(flush_bytes(105 * mib) == 256 * mib);
  CHECK(flush_bytes(384 * mib) == 768 * mib);
  CHECK(flush_bytes(std::int64_t{1152} * mib) == 2304 * mib);  // more than 31 bits hold
  CHECK(flush_bytes(0) == 256 * mib);
  CHECK(flush_bytes(-1) == 256 * mib);  // as sysconf says that it does not know
}
