#include "agents/artifacts/objective.h"

#include <array>
#include <string>

#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"latency", "throughput", "energy"};  // in the enumeration's order

}  // namespace

std::string_view name(Objective objective) { return kNames.at(static_cast<std::size_t>(objective)); }

Objective objective_from_name(std::string_view text) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == text) return static_cast<Objective>(i);
  throw Error(ErrorCode::invalid_input, "cannot read objective '" + std::string(text) + "': it is not one of the list");
}

}  // namespace kiln::agents
