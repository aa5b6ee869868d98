#include "daemon/worker/progress.h"

#include <doctest/doctest.h>

#include <array>
#include <limits>

using namespace kiln::worker;

TEST_CASE("the page says who is at work and when its last step ended") {
  std::array<std::byte, kProgressBytes> page{};
  CHECK(read_progress(page).subject == 0);
  CHECK(read_progress(page).step_ns == 0);
  write_progress(page, {7, 123'456'789'012});
  CHECK(read_progress(page).subject == 7);
  CHECK(read_progress(page).step_ns == 123'456'789'012);
}

TEST_CASE("steps buy time beyond the first deadline, up to a limit that no claim of a step moves") {
  const Patience patience{80, 60, 800};
  CHECK(patience.deadline_ns(1000, 0) == 1080);     // none has ended
  CHECK(patience.deadline_ns(1000, 1010) == 1080);  // what looped since then has what it had before
  CHECK(patience.deadline_ns(1000, 1079) == 1139);
  CHECK(patience.deadline_ns(1000, 1700) == 1760);
  CHECK(patience.deadline_ns(1000, 1799) == 1800);
  CHECK(patience.deadline_ns(1000, std::numeric_limits<std::int64_t>::max()) == 1800);
  CHECK(patience.deadline_ns(1000, std::numeric_limits<std::int64_t>::min()) == 1080);
}

TEST_CASE("where steps buy no time the deadline stands") {
  CHECK(Patience{80, 0, 0}.deadline_ns(1000, 1079) == 1080);
}
