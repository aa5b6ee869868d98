// What a GPU's plan of a model would hold, asked of the corpus on a machine without one:
//
//   device_plan [--build] MODEL.onnx...
//
// One JSON line per model: {"model", "refused"} when it cannot be imported; else {"model", "uncomputed": operators that
// no template computes, "regions": [{"label", "templates"}], "launches" and "bytes" of the fused plan}, for an sm_90a
// like the H200. With --build also "unbuilt": kernels that do not compile, of those that the plan op by op runs and the
// defaults of each template for the fused one, with the cause. That needs NVRTC and no GPU.
#include <cstdio>
#include <filesystem>
#include <set>
#include <string_view>

#include "agents/conductor/alone.h"
#include "agents/planner/planner.h"
#include "agents/search/search.h"
#include "agents/writer/writer.h"
#include "daemon/targets/cuda/compile.h"
#include "runtime/base/json.h"
#include "tests/cuda/device_kernel.h"
#include "tests/models/imported.h"
#include "tests/models/plan_figures.h"

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

// "row/split splits=8 ...: why", for each of the region's templates whose default variant does not compile.
json::array unbuilt(const agents::Region& region, const agents::NodeFacts& node,
                    const targets::cuda::Compiler& compiler) {
  json::array out;
  const std::optional<agents::Kernel> kernel = agents::lower(region);
  if (!kernel) return out;
  try {
    (void)agents::whole_region(agents::standalone(region, 1), region);  // as a job tunes it
  } catch (const Error& error) {
    out.emplace_back(error.what());
  }
  const agents::Figures figures = agents::figures_of(*kernel, node, 1);
  for (const store::TemplateSpec& spec : testing::device_templates()) {
    if (!agents::accepts(spec, *kernel)) continue;
    const agents::Space space = agents::enumerate(spec, region, *kernel, figures, node);
    if (space.rows.empty()) continue;
    const auto row = static_cast<std::size_t>(std::max(0, space.default_row));
    const agents::RenderedKernel rendered =
        agents::render(spec, region, *kernel, agents::variant_of(space, row), figures, node);
    targets::cuda::CompileRequest request;
    request.file_name = rendered.file_name;
    request.source = rendered.source;
    request.flags = rendered.compile_flags;
    request.architecture = rendered.architecture;
    const targets::cuda::CompileResult built = compiler.compile(request);
    if (!built.ok)
      out.emplace_back(region.label + ": " + to_string(rendered.variant) + ": " + built.diagnostics.at(0).message);
  }
  return out;
}

json::array unbuilt(const graph::Graph& model, const agents::NodeFacts& node) {
  const targets::cuda::Compiler compiler;
  json::array out;
  std::set<std::string> seen;
  for (const agents::Partition& partition :
       {agents::baseline(model, buildable).partition, agents::partition_fused(model, buildable)})
    for (const agents::Region& region : partition.regions)
      if (seen.insert(region.key).second)
        for (json::value& why : unbuilt(region, node, compiler)) out.push_back(std::move(why));
  return out;
}

json::object plan_of(const std::string& file, const agents::NodeFacts& node, bool builds) {
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
  if (uncomputed.empty()) {
    const agents::Partition fused = agents::partition_fused(model, buildable);
    for (const agents::Region& region : fused.regions)
      regions.emplace_back(json::object{{"label", region.label}, {"templates", templates_of(region, node)}});
    const testing::PlanFigures figures = testing::plan_figures(fused);
    out["launches"] = figures.launches;
    out["bytes"] = figures.bytes;
  }
  out["regions"] = regions;
  if (builds && uncomputed.empty()) out["unbuilt"] = unbuilt(model, node);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const agents::NodeFacts node = testing::device_node("sm_90a");
  const bool builds = argc > 1 && std::string_view(argv[1]) == "--build";
  const int first = builds ? 2 : 1;
  for (int i = first; i < argc; ++i) std::printf("%s\n", json::canonical(plan_of(argv[i], node, builds)).c_str());
  return argc > first ? 0 : (std::fprintf(stderr, "usage: device_plan [--build] MODEL.onnx...\n"), 2);
}
