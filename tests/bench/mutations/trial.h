// One mutant before the evaluation that every candidate of a job passes, and beyond it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "agents/evaluator/evaluator.h"
#include "daemon/worker/staging.h"
#include "daemon/worker/workbench.h"
#include "tests/bench/mutations/batch.h"
#include "tests/bench/mutations/workloads.h"
#include "tests/worker/object_folder.h"

namespace kiln::mutation {

// For shapes that take a millisecond. One mutant in twenty hangs, so a mutant gets less time than what is taken to be
// right.
inline constexpr std::int64_t kMutantsDeadlineNs = 1'000'000'000, kDeadlineNs = 10'000'000'000;

// What a mutant that the check accepts is found to be by a wider look: further seeds, and values near the ends of the
// type.
enum class Wider {
  equal,         // the same bits as the original on every input: nothing shows that it is another function
  within_class,  // other bits, but as near to the oracle as the precision class asks, on every input
  special_only,  // other bits only where inputs are infinite, not numbers or near the ends of the type
  wrong,         // further from the oracle than allowed on inputs that the check did not draw
};

class Laboratory {
 public:
  Laboratory(const std::filesystem::path& worker, std::uint64_t seed, std::int32_t threads);
  ~Laboratory();
  Laboratory(const Laboratory&) = delete;
  Laboratory& operator=(const Laboratory&) = delete;

  [[nodiscard]] agents::Workbench& bench() { return *bench_; }
  void take(const Prepared& prepared);  // stores the graph that the next trials compute
  // The check of a candidate: all families, once.
  [[nodiscard]] agents::Judgement check(const Prepared& prepared, const Member& member, std::uint64_t seed,
                                        std::int64_t deadline_ns = kDeadlineNs);
  // The rounds that confirm a finalist; ok when all are.
  [[nodiscard]] agents::Judgement confirm(const Prepared& prepared, const Member& member);
  // Both: all that a kernel passes before it can win a region.
  [[nodiscard]] agents::Judgement judgement(const Prepared& prepared, const Member& member, std::uint64_t seed);
  [[nodiscard]] Wider look_wider(const Prepared& prepared, const Member& original, const Member& member);

 private:
  [[nodiscard]] agents::Plan plan_of(const Prepared& prepared, const Member& member) const;

  std::uint64_t seed_;
  std::int32_t threads_;
  policies::Policy policy_;
  std::unique_ptr<testing::ObjectFolder> objects_;
  std::unique_ptr<agents::Workbench> bench_;
  std::unique_ptr<worker::Staging> staging_;
  std::string graph_, constants_;
};

}  // namespace kiln::mutation
