#include "agents/artifacts/verdict.h"

#include <array>
#include <string>

#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

// In the order of the enumerations.
constexpr std::array<std::string_view, 13> kVerdicts = {
    "ok",      "invalid", "build_failed",     "build_timeout", "launch_failed", "crashed",
    "hung",    "wrong",   "nondeterministic", "out_of_bounds", "slower",        "implausible",
    "forbidden"};
constexpr std::array<std::string_view, 4> kComparisons = {"faster", "slower", "same", "ambiguous"};

template <class Enum, std::size_t N>
Enum from_name(const std::array<std::string_view, N>& names, std::string_view text, std::string_view what) {
  for (std::size_t i = 0; i < N; ++i)
    if (names[i] == text) return static_cast<Enum>(i);
  throw Error(ErrorCode::invalid_input,
              "cannot read " + std::string(what) + " '" + std::string(text) + "': it is not one of the closed list");
}

}  // namespace

std::string_view name(Verdict v) { return kVerdicts.at(static_cast<std::size_t>(v)); }
Verdict verdict_from_name(std::string_view text) { return from_name<Verdict>(kVerdicts, text, "verdict"); }

std::string_view name(Comparison c) { return kComparisons.at(static_cast<std::size_t>(c)); }
Comparison comparison_from_name(std::string_view text) {
  return from_name<Comparison>(kComparisons, text, "comparison");
}

}  // namespace kiln::agents
