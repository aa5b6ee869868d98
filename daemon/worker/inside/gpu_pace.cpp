#include "daemon/worker/inside/gpu_pace.h"

#include <algorithm>

namespace kiln::worker {
namespace {

constexpr double kStepNs = 2e4;           // of shorter calls, events tell too little
constexpr double kBatchNs = 2e6;          // of calls that follow each other
constexpr double kShortBatchNs = 2e5;     // the same, of short ones
constexpr std::int64_t kMostCalls = 256;  // of a batch: a stream takes some thousand launches at once
constexpr std::size_t kColdCaches = 2;
constexpr std::uintmax_t kFewConstants = 16;  // a share of what a call reads and writes

}  // namespace

bool CallSets::stay_cold() const { return sets * call_bytes >= kColdCaches * cache_bytes; }

void GpuPace::loaded(std::uintmax_t constants_bytes) { most_constants_ = std::max(most_constants_, constants_bytes); }

void GpuPace::took(double ns) { shortest_ns_ = std::min(shortest_ns_, ns); }

bool GpuPace::in_batches(bool cold, const CallSets& sets) const {
  if (shortest_ns_ >= kStepNs) return false;
  return !cold || (sets.stay_cold() && kFewConstants * most_constants_ <= sets.call_bytes);
}

std::int64_t GpuPace::calls(agents::Objective objective, double call_ns, bool cold, const CallSets& sets) const {
  const bool alone = objective == agents::Objective::latency;
  const std::int64_t least = objective == agents::Objective::energy ? 1 : alone ? 2 : 4;
  const auto wanted = static_cast<std::int64_t>((alone ? kShortBatchNs : kBatchNs) / std::max(call_ns, 1.0));
  const std::int64_t calls = std::clamp(wanted, least, kMostCalls);
  return cold ? std::max(calls, static_cast<std::int64_t>(sets.sets)) : calls;
}

}  // namespace kiln::worker
