#include "agents/conductor/phases.h"

#include "runtime/base/json.h"

namespace kiln::agents {

std::int64_t Phases::begin(const std::string& phase, double fraction, const std::string& detail) {
  const std::int64_t now = lab_.now(phase);
  if (!timeline_.empty()) timeline_.back().end_ns = now;
  timeline_.push_back({phase, now, now, detail});
  lab_.journal().progress({phase, fraction, json::object{{"detail", detail}}});
  return now;
}

}  // namespace kiln::agents
