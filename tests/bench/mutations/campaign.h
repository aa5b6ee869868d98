// Mutants and right variants of all families, round by round, each before the checks that a candidate of a
// job passes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>

#include "tests/bench/mutations/records.h"
#include "tests/bench/mutations/trial.h"

namespace kiln::mutation {

struct CampaignOptions {
  std::size_t wrong = 200;       // mutants to find wrong, over all families
  std::size_t right = 40;        // right variants to try in each family
  std::uint64_t seed = 1;        // of the choice of mutants and of all inputs
  double minutes = 0;            // stops after the batch that is under way by then; 0: no limit
  std::uint64_t first_round = 0;
  std::string family;            // only this one; empty: all
  std::string matching;          // only mutants whose difference to the original has this text; empty: all
  std::filesystem::path worker;  // kiln-worker
};

// Seconds spent.
struct Costs {
  double rendering = 0, building = 0, checking = 0, comparing = 0, proving = 0;
};

class Campaign {
 public:
  Campaign(const CampaignOptions& options, Records& records, std::function<void(const Campaign&)> progress);
  void run();

  [[nodiscard]] std::size_t wrong() const;
  [[nodiscard]] std::size_t right_in(const std::string& family) const;
  [[nodiscard]] std::uint64_t round() const { return round_; }
  [[nodiscard]] const std::string& at() const { return at_; }
  [[nodiscard]] const Costs& costs() const { return costs_; }

 private:
  struct Chosen;
  void run_round();
  void mutate(const Prepared& p, std::size_t choice, std::size_t row);
  // `kernel` is the original as it was before it was built.
  void settle(const Prepared& p, const agents::RenderedKernel& kernel, const Member& original,
              std::vector<Chosen>& batch);
  [[nodiscard]] Outcome outcome_of(const Prepared& p, const Member& original, Chosen& chosen);
  void vary(const Prepared& p);
  // True when it passed.
  bool judge_right(const Prepared& p, const std::string& subject, const std::string& key,
                   const Member& member);
  void record(Trial trial);
  [[nodiscard]] bool out_of_time() const;

  const CampaignOptions options_;
  Records& records_;
  const std::function<void(const Campaign&)> progress_;
  const agents::NodeFacts node_;
  std::vector<store::TemplateSpec> corpus_;
  std::unique_ptr<Laboratory> laboratory_;  // one for each round, so that its objects do not pile up
  std::mt19937_64 random_;
  std::uint64_t round_ = 0;
  std::string at_;
  Costs costs_;
  const double begin_s_;
};

}  // namespace kiln::mutation
