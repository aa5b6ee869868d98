#include "agents/artifacts/geometry.h"

#include "agents/artifacts/fields.h"
#include "runtime/base/json.h"

namespace kiln::agents {

void put_geometry(json::object& launch, const std::optional<Geometry>& geometry) {
  if (!geometry) return;
  launch["grid"] = json::object{{"block_threads", geometry->block_threads},
                                {"shared_bytes", geometry->shared_bytes},
                                {"cluster", geometry->cluster}};
  if (geometry->cooperative) launch["grid"].as_object()["cooperative"] = true;
  if (geometry->programmatic) launch["grid"].as_object()["programmatic"] = true;
}

std::optional<Geometry> geometry_of(const json::object& launch, std::string_view what) {
  const json::value* grid = launch.if_contains("grid");
  if (!grid) return std::nullopt;
  const json::object& o = json::as_object(*grid, what);
  Geometry g;
  g.block_threads = fields::small_count(o, "block_threads", what);
  g.shared_bytes = fields::count(o, "shared_bytes", what);
  g.cluster = fields::small_count(o, "cluster", what);
  g.cooperative = o.contains("cooperative") && json::get_bool(o, "cooperative", what);
  g.programmatic = o.contains("programmatic") && json::get_bool(o, "programmatic", what);
  return g;
}

}  // namespace kiln::agents
