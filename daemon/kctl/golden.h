// What `golden run` and `corpus add` tell of golden cases.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/json_fwd.h"

namespace kiln::kctl {

// A line for each case where the oracle differs and for each kernel that is not right: case, variant, verdict, evidence
// and the debugger's cause. `answer` has "cases" (schema GoldenCase).
[[nodiscard]] std::vector<std::string> golden_failures(const json::object& answer);

}  // namespace kiln::kctl
