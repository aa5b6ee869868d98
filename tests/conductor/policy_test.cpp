// What of a policy the loop itself obeys.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "runtime/base/json.h"
#include "tests/conductor/jobs.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

// Every variant that the job tried, as "matmul/packed mr=6", and what became of it.
std::map<std::string, std::string> tried_in(const JobOutcome& outcome) {
  std::map<std::string, std::string> out;
  for (const json::value& region : outcome.trace.at("regions").as_array())
    for (const json::value& candidate : region.at("candidates").as_array())
      out[to_string(variant_from_json(candidate.at("variant")))] =
          std::string(candidate.at("verdict").as_string()) + ": " + std::string(candidate.at("reason").as_string());
  return out;
}

std::map<std::string, std::string> tried_under(const std::function<void(JobInput&)>& change) {
  MemoryBlobs blobs;
  JobInput input = classifier_input(blobs);
  change(input);
  FakeBench bench;
  MemoryJournal journal;
  return tried_in(run(input, bench, blobs, journal));
}

bool any_begins(const std::map<std::string, std::string>& tried, const std::string& with) {
  return std::any_of(tried.begin(), tried.end(), [&](const auto& one) { return one.first.starts_with(with); });
}


}  // namespace

TEST_CASE("search.vendor and search.families decide what is tried; where they leave nothing, what runs today stays") {
  const auto all = tried_under([](JobInput&) {});
  CHECK(any_begins(all, "matmul/onednn"));
  CHECK(any_begins(all, "matmul/packed"));
  CHECK(any_begins(all, "row/fused"));
  const auto own = tried_under([](JobInput& input) { input.policy.vendor = false; });
  CHECK_FALSE(any_begins(own, "matmul/onednn"));
  CHECK_FALSE(any_begins(own, "row/onednn"));
  CHECK(any_begins(own, "matmul/packed"));
  const auto rows = tried_under([](JobInput& input) { input.policy.families = {"row/fused"}; });
  CHECK(any_begins(rows, "row/fused"));
  CHECK_FALSE(any_begins(rows, "row/onednn"));
  CHECK_FALSE(any_begins(rows, "matmul/packed"));
  CHECK(any_begins(rows, "matmul/onednn"));  // what runs today
}

TEST_CASE("search.forbidden: instruction sets are not even proposed, and a construct is refused by its line") {
  const auto narrow = tried_under([](JobInput& input) { input.policy.forbidden = {"avx512"}; });
  CHECK(any_begins(narrow, "row/fused"));
  for (const auto& one : narrow) CHECK_MESSAGE(one.first.find("isa=512") == std::string::npos, one.first);

  const auto refused = tried_under([](JobInput& input) {
    input.policy.forbidden = {"inline-assembly"};
    for (store::TemplateSpec& spec : input.corpus)
      if (spec.family == "row" && spec.name == "fused")
        spec.files.at(spec.source)
            .insert(0, "// asm in a comment is none\ninline void fence() { asm(\"mfence\"); }\n");
  });
  int found = 0;
  for (const auto& one : refused)
    if (one.first.starts_with("row/fused")) {
      CHECK(one.second.find("forbidden: the policy forbids inline-assembly: line ") == 0);
      CHECK(one.second.find("inline void fence() { asm(") != std::string::npos);
      ++found;
    } else {
      CHECK(one.second.find("forbidden") == std::string::npos);
    }
  CHECK(found > 0);
}

TEST_CASE("precision.quality_bar holds the release as a whole tighter than its kernels") {
  const auto right = [](double bar, double error) {
    MemoryBlobs blobs;
    JobInput input = classifier_input(blobs);
    input.policy.error_factor = 2.0;
    input.policy.quality_bar = bar;
    FakeBench bench;
    bench.error = error;
    MemoryJournal journal;
    return run(input, bench, blobs, journal).right;
  };
  CHECK(right(2.0, 1.8));
  CHECK_FALSE(right(1.5, 1.8));
  CHECK(right(1.5, 1.4));
}

