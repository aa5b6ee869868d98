// The benchmark agent: which measurements to take, and what they say. Statistics are over raw samples, never over means
// of means. Rules: docs/measuring.md.
#pragma once

#include <string>
#include <vector>

#include "agents/artifacts/facts.h"
#include "agents/artifacts/verdict.h"
#include "runtime/base/json_fwd.h"

namespace kiln::agents {

struct Summary {
  std::int32_t samples = 0;
  double median_ns = 0, min_ns = 0, q1_ns = 0, q3_ns = 0;
  double low_ns = 0, high_ns = 0;  // distribution-free confidence interval of the median
  double median_nj = 0;            // of a call, where energy was measured
};
[[nodiscard]] Summary summarize(const std::vector<double>& ns, double confidence);
[[nodiscard]] Summary summary_of(const SampleFact::Subject& subject, double confidence);
[[nodiscard]] json::object to_json(const Summary& s);

// Median over rounds of incumbent / candidate in what the objective measures, and its distribution-free interval. The
// two samples of a round are neighbours in time; the round's clock is common to both, so the ratio holds in time and in
// cycles.
struct SpeedUp { double ratio = 1, low = 1, high = 1; Comparison comparison = Comparison::ambiguous; };
// faster: significantly more than half of the rounds have a ratio above 1 + margin. same: the interval is within
// +-margin.
[[nodiscard]] SpeedUp compare(const std::vector<double>& incumbent_ns, const std::vector<double>& candidate_ns,
                              const std::vector<double>& cycles_per_ns, double margin, double confidence);
[[nodiscard]] json::object to_json(const SpeedUp& s);

// Racing: after a few samples of everyone, the indices that deserve the rest; always those in `keep` (incumbent,
// default).
[[nodiscard]] std::vector<std::size_t> finalists(const std::vector<SampleFact::Subject>& subjects,
                                                 const std::vector<std::size_t>& keep, std::size_t count);

// Faster than the roofline of its precision class allows: a defect of the candidate or of the clock, never a win.
[[nodiscard]] bool implausible(double median_ns, double floor_ns);

// bench_results.csv: one row per candidate.
struct ResultRow { std::string region, variant, verdict; Summary time; double floor_fraction = 0; };
[[nodiscard]] std::string to_csv(const std::vector<ResultRow>& rows);

}  // namespace kiln::agents
