#include "daemon/kctl/follow.h"
#include "runtime/base/json.h"

#include <doctest/doctest.h>

using namespace kiln;
using namespace kiln::kctl;

namespace {

json::object progress(std::int64_t at_s, std::string_view phase, double fraction, json::object detail) {
  detail["phase"] = phase;
  detail["fraction"] = fraction;
  return {{"serial", 1},
          {"kind", "job.progress"},
          {"subject", "j-1"},
          {"detail", detail},
          {"recorded_ns", at_s * 1'000'000'000}};
}

}  // namespace

TEST_CASE("phases follow each other; the last line says how far and how long") {
  PhaseTree tree;
  CHECK(tree.lines(0, 80) == std::vector<std::string>{"waiting for the job to begin"});
  tree.apply(progress(100, "profile", 0.0, {{"detail", ""}}));
  tree.apply(
      progress(110, "search/abc", 0.25, {{"region", "matmul"}, {"tried", 3}, {"failed", 0}, {"best_ns", 1930.0}}));
  tree.apply(
      progress(120, "search/abc", 0.25, {{"region", "matmul"}, {"tried", 9}, {"failed", 1}, {"best_ns", 812.0}}));
  const auto lines = tree.lines(std::int64_t{130} * 1'000'000'000, 120);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == "+ profile       10 s");
  CHECK(lines[1] == ">   search        20 s  matmul, 9 tried, 1 failed, best 812 ns");
  // 30 s for a quarter leaves three times as much.
  CHECK(lines[2] == " 25 % after 30 s, about 1 min 30 s left");
}

TEST_CASE("no line is wider than the terminal, and the bar never goes back") {
  PhaseTree tree;
  tree.apply(progress(1, "plan", 0.5, {{"detail", std::string(300, 'x')}}));
  tree.apply(progress(2, "decide", 0.1, {}));
  for (const std::string& line : tree.lines(std::int64_t{3} * 1'000'000'000, 40)) CHECK(line.size() <= 40);
  CHECK(tree.lines(std::int64_t{3} * 1'000'000'000, 40).back().starts_with(" 50 %"));
}

TEST_CASE("one line per event where there is no terminal") {
  CHECK(PhaseTree::plain(progress(1, "search/abc", 0.1, {{"region", "matmul"}, {"tried", 2}})) ==
        "[ 10 %] search/abc: matmul, 2 tried");
  const json::object state{
      {"serial", 2}, {"kind", "job.state"}, {"subject", "j-1"}, {"detail", {{"state", "done"}}}, {"recorded_ns", 1}};
  CHECK(PhaseTree::plain(state) == "job.state j-1 {\"state\":\"done\"}");
}
