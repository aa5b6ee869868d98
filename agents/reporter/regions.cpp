#include "agents/reporter/regions.h"

#include "runtime/base/json.h"

namespace kiln::agents {

std::vector<NumberedRegion> with_parts(const json::array& regions) {
  std::vector<NumberedRegion> out;
  for (std::size_t i = 0; i < regions.size(); ++i) {
    const json::object& region = json::as_object(regions[i], "report.regions");
    out.push_back({std::to_string(i + 1), &region});
    const json::value* found = region.if_contains("in_parts");
    if (found == nullptr) continue;
    const json::object& in_parts = json::as_object(*found, "report.regions.in_parts");
    const json::array& parts =
        json::as_array(json::at(in_parts, "regions", "report.regions.in_parts"), "report.regions.in_parts.regions");
    for (std::size_t p = 0; p < parts.size(); ++p)
      out.push_back({std::to_string(i + 1) + "." + std::to_string(p + 1),
                     &json::as_object(parts[p], "report.regions.in_parts.regions")});
  }
  return out;
}

}  // namespace kiln::agents
