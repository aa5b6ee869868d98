#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "agents/search/forest.h"
#include "agents/search/search.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

Space grid_space(const std::string& name, std::size_t dims, std::size_t extent) {
  Space s{"r", "family", name, "d", {}, {}, {}, -1, {}};
  std::size_t count = 1;
  for (std::size_t d = 0; d < dims; ++d) {
    s.names.push_back(std::string(1, static_cast<char>('a' + d)));
    s.values.emplace_back();
    for (std::size_t v = 0; v < extent; ++v) s.values.back().push_back(static_cast<std::int64_t>(v) * 2 + 1);
    count *= extent;
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<std::uint16_t> row(dims);
    for (std::size_t d = dims, rest = i; d-- > 0; rest /= extent) row[d] = static_cast<std::uint16_t>(rest % extent);
    s.rows.push_back(row);
  }
  s.default_row = 0;
  return s;
}

// A valley with its floor at value 11 of each tunable.
double valley_ns(const Variant& v) {
  double sum = 1000;
  for (const auto& [name, value] : v.tunables) sum += 300.0 * static_cast<double>((value - 11) * (value - 11));
  return sum;
}

}  // namespace

TEST_CASE("priors and then defaults come first, fastest prior first") {
  const std::vector<Space> spaces = {grid_space("x", 2, 4), grid_space("y", 2, 4)};
  const std::vector<Trial> priors = {{variant_of(spaces[0], 5), Verdict::ok, 200},
                                     {variant_of(spaces[1], 7), Verdict::ok, 100},
                                     {variant_of(spaces[1], 9), Verdict::crashed, 0}};
  const auto p = propose(spaces, {}, priors, {}, 1, 5);
  REQUIRE(p.size() == 5);
  CHECK(p[0].variant == variant_of(spaces[1], 7));
  CHECK(p[0].why == "prior");
  CHECK(p[1].variant == variant_of(spaces[0], 5));
  CHECK(p[2].why == "default");
  CHECK(p[3].why == "default");
  CHECK(p[4].why == "random");
}

TEST_CASE("what another region found is carried over to templates and tunables that are here too, fastest first") {
  const std::vector<Space> there = {grid_space("x", 3, 4), grid_space("z", 2, 4)};
  const std::vector<Space> here = {grid_space("x", 2, 4)};  // the same template, and a tunable less
  const std::vector<Trial> found = {{variant_of(there[0], 21), Verdict::ok, 200},       // 1, 1, 1
                                    {variant_of(there[1], 3), Verdict::ok, 100},        // another template
                                    {variant_of(there[0], 6), Verdict::slower, 300},    // 0, 1, 2
                                    {variant_of(there[0], 22), Verdict::ok, 250},       // 1, 1, 2: the first again here
                                    {variant_of(there[0], 9), Verdict::wrong, 0}};
  const auto carried = carried_over(here, found, 3);
  REQUIRE(carried.size() == 2);
  CHECK(carried[0].variant == variant_of(here[0], 5));
  CHECK(carried[1].variant == variant_of(here[0], 1));
  CHECK(carried[0].why == "carried");
  CHECK(carried_over(here, found, 1).size() == 1);
  CHECK(carried_over(here, {}, 3).empty());
}

TEST_CASE("while nothing is measured most of what is tried is what the first guess calls likely") {
  std::vector<Space> spaces = {grid_space("x", 3, 10), grid_space("y", 3, 10)};
  for (std::size_t row = 0; row < spaces[0].rows.size(); ++row)
    spaces[0].estimate_ns.push_back(static_cast<float>(valley_ns(variant_of(spaces[0], row))));
  std::vector<float> sorted = spaces[0].estimate_ns;
  std::sort(sorted.begin(), sorted.end());
  int likely = 0, random = 0;
  for (const Proposal& p : propose(spaces, {}, {}, {}, 1, 64)) {
    if (p.why == "random") ++random;
    if (p.why != "likely") continue;
    ++likely;
    CHECK(p.variant.template_name == "x");
    CHECK(valley_ns(p.variant) <= static_cast<double>(sorted[47]));
  }
  CHECK(likely >= 32);
  const auto first = propose(spaces, {}, {}, {}, 1, 8);  // the two defaults, and the likeliest
  for (std::size_t i = 2; i < first.size(); ++i) {
    CHECK(first[i].why == "likely");
    CHECK(static_cast<float>(valley_ns(first[i].variant)) == sorted[i - 2]);
  }
  CHECK(random >= 8);  // what has no guess is tried too
}

TEST_CASE("the likeliest of each template come first, though one template's guesses are all less") {
  std::vector<Space> spaces = {grid_space("x", 2, 10), grid_space("y", 2, 10), grid_space("z", 2, 10)};
  for (std::size_t s = 0; s < spaces.size(); ++s)
    for (std::size_t row = 0; row < spaces[s].rows.size(); ++row)
      spaces[s].estimate_ns.push_back(static_cast<float>(s == 2 ? 5000 : 1000 + 100 * s + row));
  const auto first = propose(spaces, {}, {}, {}, 1, 9);
  REQUIRE(first.size() == 9);
  for (std::size_t i = 3; i < 9; ++i) {  // "z" is far behind
    const std::size_t s = (i - 3) % 2, row = 1 + (i - 3) / 2;  // a default is row 0
    CHECK(first[i].variant == variant_of(spaces[s], row));
  }
}

TEST_CASE("the likeliest follow where seeds had filled the first rounds") {
  std::vector<Space> spaces = {grid_space("x", 2, 10)};
  for (std::size_t row = 0; row < spaces[0].rows.size(); ++row)
    spaces[0].estimate_ns.push_back(static_cast<float>(1000 + row));
  std::vector<Trial> priors, trials;
  for (std::size_t row = 50; row < 53; ++row) priors.push_back({variant_of(spaces[0], row), Verdict::ok, 100.0 + row});
  for (const Proposal& p : propose(spaces, {}, priors, {}, 1, 4))
    trials.push_back({p.variant, Verdict::ok, valley_ns(p.variant)});
  const auto second = propose(spaces, trials, priors, {}, 1, 4);
  REQUIRE(second.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(second[i].variant == variant_of(spaces[0], 1 + i));
}

TEST_CASE("nothing is proposed twice, nothing excluded, and everything in the end") {
  const std::vector<Space> spaces = {grid_space("x", 2, 5), grid_space("y", 1, 4)};
  const std::vector<LearnedConstraint> learned = {{"family", "x", {{"a", 3}}, "crashed"}};
  std::set<Variant> seen;
  std::vector<Trial> trials;
  for (int round = 0; round < 40; ++round) {
    for (const Proposal& p : propose(spaces, trials, {}, learned, 7, 3)) {
      CHECK(seen.insert(p.variant).second);
      CHECK_FALSE(excludes(learned[0], p.variant));
      const bool fails = p.variant.template_name == "y";
      trials.push_back({p.variant, fails ? Verdict::build_failed : Verdict::ok, fails ? 0 : valley_ns(p.variant)});
    }
  }
  CHECK(seen.size() == 20 + 4);
  CHECK(propose(spaces, trials, {}, learned, 7, 3).empty());
}

TEST_CASE("equal arguments give equal proposals; another seed gives others") {
  const std::vector<Space> spaces = {grid_space("x", 3, 8)};
  std::vector<Trial> trials;
  for (std::size_t i = 0; i < 40; ++i)
    trials.push_back({variant_of(spaces[0], i * 11), Verdict::ok, valley_ns(variant_of(spaces[0], i * 11))});
  const auto variants = [&](std::uint64_t seed) {
    std::vector<Variant> out;
    for (const Proposal& p : propose(spaces, trials, {}, {}, seed, 12)) out.push_back(p.variant);
    return out;
  };
  CHECK(variants(3) == variants(3));
  CHECK(variants(3) != variants(4));
}

TEST_CASE("a valley of 4096 points is found in 150 trials, for every seed") {
  const std::vector<Space> spaces = {grid_space("x", 4, 8)};
  for (std::uint64_t seed = 1; seed <= (KILN_SANITIZED ? 2 : 8); ++seed) {
    std::vector<Trial> trials;
    double best = 1e18;
    while (trials.size() < 150)
      for (const Proposal& p : propose(spaces, trials, {}, {}, seed, 6)) {
        trials.push_back({p.variant, Verdict::ok, valley_ns(p.variant)});
        best = std::min(best, trials.back().median_ns);
      }
    CHECK(best <= 1000 + 300 * 4);  // the floor or one step from it
  }
}

TEST_CASE("points that fail are avoided once a half of the space is seen to fail") {
  const std::vector<Space> spaces = {grid_space("x", 3, 8)};
  std::vector<Trial> trials;
  int failed_late = 0, late = 0;
  while (trials.size() < 120)
    for (const Proposal& p : propose(spaces, trials, {}, {}, 5, 6)) {
      const bool fails = p.variant.tunables.at("a") > 7;
      trials.push_back({p.variant, fails ? Verdict::crashed : Verdict::ok, fails ? 0 : valley_ns(p.variant)});
      if (trials.size() > 60) {
        ++late;
        failed_late += fails ? 1 : 0;
      }
    }
  CHECK(failed_late * 4 < late);
}

TEST_CASE("a forest recalls its samples, is unsure elsewhere, and is exact about feasibility") {
  Samples s;
  s.features = 1;
  for (int i = 0; i < 16; ++i) {
    s.points.push_back(static_cast<float>(i));
    s.targets.push_back(grid(std::pow(2.0, i < 8 ? 3 : 5)));
    s.feasible.push_back(i < 8);
  }
  const Forest forest = Forest::fit(s, 25, 1);
  for (int i = 0; i < 16; ++i) {
    const float point = static_cast<float>(i);
    const Prediction p = forest.predict(&point);
    CHECK(p.mean == (i < 8 ? 3.0 : 5.0));
    CHECK(p.feasible == (i < 8 ? 1.0 : 0.0));
    CHECK(p.spread == 0.0);
  }
  CHECK(Forest::fit({}, 3, 1).predict(s.points.data()).mean == 0.0);
}

TEST_CASE("no space and no batch give nothing") {
  CHECK(propose({}, {}, {}, {}, 1, 4).empty());
  CHECK(propose({grid_space("x", 1, 3)}, {}, {}, {}, 1, 0).empty());
  CHECK(propose({grid_space("x", 1, 3)}, {}, {}, {}, 1, 9).size() == 3);
}
