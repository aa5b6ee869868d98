// The checking of one region's candidates: which of a round are worth a check, in what order, and what was found.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agents/conductor/check_effort.h"
#include "agents/conductor/check_order.h"
#include "agents/evaluator/evaluator.h"
#include "agents/profiler/profiler.h"

namespace kiln::agents {

// What became of one candidate of a round.
struct Examined {
  enum class Outcome : std::uint8_t {
    right,
    failed,
    passed_over,  // a look at it took too much longer than at the best
    untried,      // there was no time
  };
  std::size_t subject = 0;  // index
  Outcome outcome = Outcome::untried;
  Judgement judgement;             // of what is right or failed; a failed look's has its verdict and evidence alone
  std::optional<CheckFact> check;  // that was not passed
  double relative = 0;             // what was passed over: time over the incumbent's, by looks
  double times_best = 0;           // and over that of the best right one
};

struct CheckingTask {
  Lab::StoredGraph graph;
  Subject incumbent;
  double incumbent_ns = 0;  // of a call
  RegionProfile profile;
  std::string region;             // key
  double roundings = 0;           // of the region (graph/roundings.h)
  std::size_t at_once = 2;        // subjects of one measurement, the incumbent among them
  std::int64_t looks_end_ns = 0;  // on the job's clock: nobody is looked at later,
  std::int64_t deadline_ns = 0;   // and nobody checked, once enough are right
};

// Not thread-safe; one per region, since looks are compared with the best of all rounds.
class Checking {
 public:
  Checking(Lab& lab, CheckingTask task);

  // Of every subject once, in the order in which they were taken.
  [[nodiscard]] std::vector<Examined> round(const std::vector<Subject>& subjects);

  // Further rounds of fresh values, as many as the oracle affords and one in any case; a failed check when some of them
  // shows that the subject is wrong after all.
  [[nodiscard]] std::optional<Examined> refutation(const Subject& subject);

  // The inputs of a check's first family: the oracle has their outputs already.
  [[nodiscard]] Proof proof() const;

 private:
  [[nodiscard]] std::vector<Look> looks_at(const std::vector<Subject>& subjects);
  [[nodiscard]] Examined checked(std::size_t index, const Subject& subject);
  [[nodiscard]] bool out_of_time(std::string_view at) { return lab_.now(at) >= task_.deadline_ns; }
  [[nodiscard]] std::uint64_t seed(const std::string& purpose) const;

  Lab& lab_;
  const CheckingTask task_;
  const UsualCall usual_;
  const std::vector<std::string> families_;
  const std::size_t enough_;     // right ones that are looked for in a round, whatever the time
  const double worth_checking_;  // of the best look's time
  double least_look_ = std::numeric_limits<double>::infinity();  // of those that are right
};

}  // namespace kiln::agents
