#include <fmt/format.h>

#include <algorithm>

#include "agents/benchmark/benchmark.h"

namespace kiln::agents {
namespace {

// Ceilings are measured on one day at one clock; a kernel may pass them by this much before it is a defect.
constexpr double kCeilingSlack = 0.8;

std::string quoted(const std::string& field) {  // RFC 4180
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string out = "\"";
  for (const char c : field) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

}  // namespace

// The minimum ranks: with few samples a median still holds the ramp-up of the clock, the minimum hardly does.
std::vector<std::size_t> finalists(const std::vector<SampleFact::Subject>& subjects,
                                   const std::vector<std::size_t>& keep, std::size_t count) {
  std::vector<std::pair<double, std::size_t>> ranked;
  for (std::size_t i = 0; i < subjects.size(); ++i)
    if (const std::vector<double>& cost = subjects[i].cost(); subjects[i].verdict == Verdict::ok && !cost.empty())
      ranked.emplace_back(*std::min_element(cost.begin(), cost.end()), i);
  std::sort(ranked.begin(), ranked.end());
  if (ranked.size() > count) ranked.resize(count);
  std::vector<std::size_t> out;
  for (const std::size_t index : keep)
    if (index < subjects.size()) out.push_back(index);
  for (const auto& [unused, index] : ranked) out.push_back(index);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

bool implausible(double median_ns, double floor_ns) { return median_ns < kCeilingSlack * floor_ns; }

std::string to_csv(const std::vector<ResultRow>& rows) {
  std::string out = "region,variant,verdict,samples,median_ns,min_ns,q1_ns,q3_ns,low_ns,high_ns,floor_fraction\r\n";
  for (const ResultRow& row : rows)
    out += fmt::format("{},{},{},{},{},{},{},{},{},{},{}\r\n", quoted(row.region), quoted(row.variant),
                       quoted(row.verdict), row.time.samples, row.time.median_ns, row.time.min_ns, row.time.q1_ns,
                       row.time.q3_ns, row.time.low_ns, row.time.high_ns, row.floor_fraction);
  return out;
}

}  // namespace kiln::agents
