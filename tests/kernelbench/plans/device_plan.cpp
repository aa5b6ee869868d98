// What a GPU's plan of a model would hold, asked of the corpus on a machine without one:
//
//   device_plan MODEL.onnx...
//
// One JSON line per model: {"model", "refused"} when it cannot be imported; else {"model", "uncomputed": operators that
// no template computes, "regions": [{"label", "templates"}] of the fused plan}, for an sm_90a like the H200.
#include <cstdio>
#include <filesystem>

#include "agents/planner/planner.h"
#include "agents/search/search.h"
#include "runtime/base/json.h"
#include "tests/cuda/device_kernel.h"
#include "tests/models/imported.h"

using namespace kiln;

namespace {

bool buildable(const agents::Kernel& kernel) {
  for (const store::TemplateSpec& spec : testing::device_templates())
    if (agents::accepts(spec, kernel)) return true;
  return false;
}

// Those with a variant that the device can hold.
json::array templates_of(const agents::Region& region, const agents::NodeFacts& node) {
  json::array out;
  const std::optional<agents::Kernel> kernel = agents::lower(region);
  if (!kernel) return out;
  const agents::Figures figures = agents::figures_of(*kernel, node, 1);
  for (const store::TemplateSpec& spec : testing::device_templates())
    if (agents::accepts(spec, *kernel) && !agents::enumerate(spec, region, *kernel, figures, node).rows.empty())
      out.emplace_back(spec.family + "/" + spec.name);
  return out;
}

json::object plan_of(const std::string& file, const agents::NodeFacts& node) {
  json::object out{{"model", std::filesystem::path(file).stem().string()}};
  graph::Graph model;
  try {
    model = testing::imported(file);
  } catch (const Error& error) {
    out["refused"] = error.what();
    return out;
  }
  const std::vector<std::string> uncomputed = agents::uncomputed(model, buildable);
  out["uncomputed"] = json::to_array(uncomputed);
  json::array regions;
  if (uncomputed.empty())
    for (const agents::Region& region : agents::partition_fused(model, buildable).regions)
      regions.emplace_back(json::object{{"label", region.label}, {"templates", templates_of(region, node)}});
  out["regions"] = regions;
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const agents::NodeFacts node = testing::device_node("sm_90a");
  for (int i = 1; i < argc; ++i) std::printf("%s\n", json::canonical(plan_of(argv[i], node)).c_str());
  return argc > 1 ? 0 : (std::fprintf(stderr, "usage: device_plan MODEL.onnx...\n"), 2);
}
