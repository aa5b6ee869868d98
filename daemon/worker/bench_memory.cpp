#include "daemon/worker/bench_memory.h"

#include "daemon/worker/attempts.h"

namespace kiln::worker {
namespace {

constexpr std::int64_t kProbeLastsNs = 600 * kSecond;

}  // namespace

std::optional<agents::NodeFacts> BenchMemory::probe(const std::string& kind) const {
  const std::lock_guard lock(mutex_);
  const auto found = probes_.find(kind);
  if (found == probes_.end() || monotonic_ns() - found->second.at_ns > kProbeLastsNs) return std::nullopt;
  return found->second.facts;
}

void BenchMemory::keep_probe(const std::string& kind, const agents::NodeFacts& facts) {
  const std::lock_guard lock(mutex_);
  probes_.insert_or_assign(kind, Probe{facts, monotonic_ns()});
}

}  // namespace kiln::worker
