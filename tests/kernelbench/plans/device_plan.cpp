// What a GPU's plan of a model would hold, asked of the corpus on a machine without one:
//
//   device_plan [--build] MODEL.onnx...
//
// One JSON line per model: {"model", "refused"} when it cannot be imported; else {"model", "uncomputed": operators that
// no template computes, "regions": [{"label", "templates", "runs": for each time that it runs how many led kernels lie
// before it, "bytes": the fewest that one run moves, "led": by a product, a convolution or attention}], "launches" and
// "bytes" of the fused plan}, for an sm_90a like the H200. With --build also "unbuilt": kernels that do not compile, of
// those that the plan op by op runs and the defaults of each template for the fused one, with the cause. That needs
// NVRTC and no GPU.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string_view>
#include <vector>

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
using testing::device_buildable;

namespace {

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
       {agents::baseline(model, device_buildable).partition, agents::partition_fused(model, device_buildable)})
    for (const agents::Region& region : partition.regions)
      if (seen.insert(region.key).second)
        for (json::value& why : unbuilt(region, node, compiler)) out.push_back(std::move(why));
  return out;
}

bool is_led(const agents::Region& region) {
  return std::any_of(region.body.nodes.begin(), region.body.nodes.end(), [](const graph::Node& node) {
    return std::holds_alternative<graph::MatMul>(node.op) || std::holds_alternative<graph::Convolution>(node.op) ||
           std::holds_alternative<graph::Attention>(node.op);
  });
}

// For each instance the most kernels, on a path to it, that a product, a convolution or attention leads.
std::vector<std::int64_t> chains_of(const graph::Graph& g, const agents::Partition& partition) {
  std::vector<std::int64_t> behind(g.values.size()), out;  // per value: such kernels up to the one that writes it
  for (const agents::RegionInstance& instance : partition.instances) {
    std::int64_t most = 0;
    for (const graph::ValueId v : instance.inputs) most = std::max(most, behind[static_cast<std::size_t>(v)]);
    out.push_back(most);
    const bool led = is_led(partition.regions[static_cast<std::size_t>(instance.region)]);
    for (const graph::ValueId v : instance.outputs) behind[static_cast<std::size_t>(v)] = most + (led ? 1 : 0);
  }
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
  const std::vector<std::string> uncomputed = agents::uncomputed(model, device_buildable);
  out["uncomputed"] = json::to_array(uncomputed);
  json::array regions;
  if (uncomputed.empty()) {
    const agents::Partition fused = agents::partition_fused(model, device_buildable);
    const std::vector<std::int64_t> chains = chains_of(model, fused);
    std::vector<json::array> runs(fused.regions.size());
    for (std::size_t i = 0; i < chains.size(); ++i)
      runs[static_cast<std::size_t>(fused.instances[i].region)].emplace_back(chains[i]);
    for (std::size_t r = 0; r < fused.regions.size(); ++r) {
      const agents::Region& region = fused.regions[r];
      regions.emplace_back(json::object{{"label", region.label},
                                        {"templates", templates_of(region, node)},
                                        {"runs", runs[r]},
                                        {"bytes", agents::cost_of(region).bytes},
                                        {"led", is_led(region)}});
    }
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
