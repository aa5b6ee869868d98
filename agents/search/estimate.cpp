#include "agents/search/estimate.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "agents/search/expression.h"

namespace kiln::agents {
namespace {

// Of an H200, rounded (docs/performance.md). Only the order of two configurations hangs on them, which other GPUs
// share.
constexpr double kLoadNs = 400;          // until what was asked of memory is there
constexpr double kInstructionNs = 0.6;   // of one thread, whose instructions overlap a little
constexpr double kIssued = 7.6;          // instructions of warps that a multiprocessor begins in a nanosecond
constexpr double kBytesNs = 32;          // of memory for each multiprocessor, when all of them ask
constexpr double kAloneBytesNs = 64;     // the same for a few
constexpr double kWantedBytes = 40e3;    // that a multiprocessor has to have asked for, to have them at that rate
constexpr double kMeetNs = 60;           // threads of a block that wait for each other
constexpr double kMeetWarpNs = 3;        // more for each warp
constexpr double kClusterNs = 700;       // a launch of clusters
constexpr double kClusterMeetNs = 400;   // and their blocks' meeting
constexpr double kCooperativeNs = 2500;  // a cooperative launch, behind one that clears its messages
constexpr double kCooperativeMeetNs = 1500;
constexpr double kLaunchNs = 1100;  // each launch after the first
constexpr double kMostBlocks = 32;  // of a multiprocessor

// The template's expressions for the row that `values` has.
class Costs {
 public:
  Costs(const store::TemplateSpec& spec, const Figures& figures, const std::vector<std::string>& names,
        std::vector<double>& values) {
    for (const auto* section : {&spec.cost, &spec.geometry})
      for (const auto& [name, text] : *section) expressions_.try_emplace(name, text, figures, names, values);
  }
  [[nodiscard]] double operator()(const std::string& name, double otherwise) const {
    const auto found = expressions_.find(name);
    return found == expressions_.end() ? otherwise : found->second.value();
  }

 private:
  std::map<std::string, Expression> expressions_;
};

struct Device {
  double multiprocessors, threads, registers, shared;
};

double time_of(const Costs& cost, const Device& gpu, double bytes) {
  const double block_threads = std::max(1.0, cost("block_threads", 1)), blocks = std::max(1.0, cost("blocks", 1));
  const double shared = cost("shared_bytes", 0), cluster = cost("cluster", 1), meetings = cost("meetings", 0);
  const double instructions = cost("instructions", 0), registers = std::min(255.0, cost("registers", 32));

  // Blocks that a multiprocessor holds side by side, and how often it takes as many.
  double side = std::min({kMostBlocks, gpu.threads / block_threads, gpu.registers / (registers * block_threads)});
  if (shared > 0) side = std::min(side, gpu.shared / shared);
  const double each = std::ceil(blocks / gpu.multiprocessors);
  side = std::clamp(std::floor(side), 1.0, each);
  const double turns = std::ceil(each / side), used = std::min(blocks, gpu.multiprocessors);

  const double traffic = std::max(1.0, cost("traffic", bytes));
  const double asked = std::min(traffic / used, std::max(1.0, side * block_threads * cost("in_flight", 16)));
  const double rate =
      std::min(used * kAloneBytesNs, gpu.multiprocessors * kBytesNs) * std::min(1.0, asked / kWantedBytes);
  const double memory_ns = traffic / rate;
  const double issue_ns = instructions * block_threads / 32 * blocks / used / kIssued;
  double latency_ns = cost("waits", 1) * kLoadNs + instructions * kInstructionNs +
                      meetings * (kMeetNs + kMeetWarpNs * block_threads / 32);
  if (cluster > 1) latency_ns += meetings * kClusterMeetNs;
  double once_ns = kLaunchNs * (cost("launches", 1) - 1) + (cluster > 1 ? kClusterNs : 0);
  if (cost("cooperative", 0) != 0) {
    once_ns += kCooperativeNs;
    latency_ns += meetings * kCooperativeMeetNs;
  }
  // While some blocks wait, those beside them work.
  return once_ns + std::max(memory_ns, issue_ns) + latency_ns * (1 + (turns - 1) / (2 * side));
}

double figure(const Figures& figures, const char* name) {
  const auto found = figures.find(name);
  return found == figures.end() ? 0 : found->second;
}

}  // namespace

void estimate(const store::TemplateSpec& spec, const Figures& figures, Space& space) {
  const Device gpu = {figure(figures, "multiprocessors"), figure(figures, "threads_per_multiprocessor"),
                      figure(figures, "registers_per_multiprocessor"), figure(figures, "shared_per_multiprocessor")};
  if (gpu.multiprocessors < 1 || !spec.cost.contains("instructions")) return;
  std::vector<double> values(space.names.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(space.values[i].front());
  const Costs cost(spec, figures, space.names, values);
  for (const std::vector<std::uint16_t>& row : space.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) values[i] = static_cast<double>(space.values[i][row[i]]);
    space.estimate_ns.push_back(static_cast<float>(time_of(cost, gpu, figure(figures, "bytes"))));
  }
}

}  // namespace kiln::agents
