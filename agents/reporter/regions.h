// The regions of a report with the parts that were tried in place of some of them.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/json_fwd.h"

namespace kiln::agents {

struct NumberedRegion {
  std::string number;  // "3"; its second part is "3.2"
  const json::object* region;
};
// Each region followed by its parts. `regions` as agents::report() makes them; what is returned points into it.
[[nodiscard]] std::vector<NumberedRegion> with_parts(const json::array& regions);

}  // namespace kiln::agents
