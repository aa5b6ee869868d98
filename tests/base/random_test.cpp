#include "runtime/base/random.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdlib>

using namespace kiln;

TEST_CASE("the stream of chance is that of the published generator") {
  SplitMix64 random(1234567);  // the generator's reference output for this seed
  CHECK(random.next() == 6457827717110365317ull);
  CHECK(random.next() == 3203168211198807973ull);
  CHECK(random.next() == 9817491932198370423ull);
}

TEST_CASE("numbers below a count are each drawn about as often") {
  SplitMix64 random(1);
  std::array<int, 6> drawn{};
  for (int i = 0; i < 60'000; ++i) ++drawn.at(random.below(drawn.size()));
  for (const int count : drawn) CHECK(std::abs(count - 10'000) < 500);  // five deviations of a binomial
  CHECK(random.below(1) == 0);
}
