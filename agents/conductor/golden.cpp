#include "agents/conductor/golden.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "agents/conductor/check_effort.h"
#include "agents/graph/interpreter.h"
#include "agents/graph/serialize.h"
#include "agents/planner/planner.h"
#include "agents/writer/writer.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

constexpr std::uint64_t kSeed = 1;

[[noreturn]] void refuse(const store::GoldenCase& c, const std::string& cause) {
  throw Error(ErrorCode::invalid_input, "cannot run golden case '" + c.family + "/" + c.name + "': " + cause);
}

graph::Graph graph_of(const store::GoldenCase& c) {
  graph::Graph g = graph::graph_from_json(
      json::parse(c.graph, "the graph of golden case '" + c.family + "/" + c.name + "'"), nullptr, {});
  graph::validate(g);
  return g;
}

graph::Tensor tensor_of(const store::GoldenCase& c, const graph::Graph& g, graph::ValueId id) {
  const graph::Value& value = g.values[static_cast<std::size_t>(id)];
  const auto values = c.values.find(value.name);
  if (values == c.values.end()) refuse(c, "it has no tensor '" + value.name + "'");
  if (c.shapes.at(value.name) != value.type.shape)
    refuse(c, "tensor '" + value.name + "' has another shape in the graph");
  graph::Tensor out = graph::Tensor::zeros(value.type);
  for (std::size_t i = 0; i < values->second.size(); ++i)
    graph::store_double(value.type.dtype, out.bytes.data(), static_cast<std::int64_t>(i), values->second[i]);
  return out;
}

// Largest absolute difference; infinite where one is not a number.
double oracle_error(const store::GoldenCase& c, const graph::Graph& g) {
  std::vector<graph::Tensor> inputs;
  for (const graph::ValueId id : g.inputs) inputs.push_back(tensor_of(c, g, id));
  const std::vector<graph::Tensor> got = graph::evaluate(g, inputs, graph::Arithmetic::fp64);
  double worst = 0;
  for (std::size_t o = 0; o < g.outputs.size(); ++o) {
    const std::string& name = g.values[static_cast<std::size_t>(g.outputs[o])].name;
    const auto want = c.values.find(name);
    if (want == c.values.end() || static_cast<std::int64_t>(want->second.size()) != got[o].count())
      refuse(c, "it has no values for output '" + name + "' of that shape");
    for (std::int64_t i = 0; i < got[o].count(); ++i) {
      const double difference = std::abs(graph::load_double(got[o].type.dtype, got[o].bytes.data(), i) -
                                         want->second[static_cast<std::size_t>(i)]);
      worst = std::isnan(difference) ? HUGE_VAL : std::max(worst, difference);
    }
  }
  return worst;
}

// One case on its way: the region is the whole graph.
struct Prepared {
  graph::Graph graph;
  Partition partition;
  std::string stored;  // digest of the graph
  std::vector<RenderedKernel> kernels;
};

Prepared prepared(const store::GoldenCase& c, const std::vector<store::TemplateSpec>& templates, const NodeFacts& node,
                  std::int32_t threads, BlobStore& blobs) {
  Prepared out;
  out.graph = graph_of(c);
  std::vector<std::int32_t> nodes(out.graph.nodes.size());
  std::iota(nodes.begin(), nodes.end(), 0);
  RegionCut cut = cut_region(out.graph, nodes);
  out.partition = {{std::move(cut.region)}, {std::move(cut.instance)}};
  out.stored = blobs.put(json::canonical(graph::to_json(out.graph)));
  const Region& region = out.partition.regions.front();
  const std::optional<Kernel> kernel = lower(region);
  if (!kernel) refuse(c, "its graph is not one kernel");
  const Figures figures = figures_of(*kernel, node, threads);
  for (const store::TemplateSpec& spec : templates) {
    if (spec.target != "cpu" || !accepts(spec, *kernel)) continue;
    const Space space = enumerate(spec, region, *kernel, figures, node);
    if (space.rows.empty()) continue;
    const Variant variant = variant_of(space, static_cast<std::size_t>(std::max(0, space.default_row)));
    out.kernels.push_back(render(spec, region, *kernel, variant, figures, node));
  }
  return out;
}

Judgement judged(const Prepared& p, const RenderedKernel& kernel, const BuildFact& built,
                 const policies::Policy& policy, std::int32_t threads, Workbench& bench) {
  if (built.verdict != Verdict::ok)
    return {built.verdict,
            built.diagnostics.empty() ? std::string(name(built.verdict)) : built.diagnostics.front().message, 0, 0};
  CheckRequest request;
  request.graph = p.stored;
  request.subject = {to_string(kernel.variant), assemble(p.graph, p.partition, {{kernel, built.object}}, "", threads)};
  request.families = check_families(0, 0);
  request.seed = kSeed;
  request.timeout_ns = policy.run_timeout_seconds * 1'000'000'000;
  return judge(bench.check(request), policy);
}

}  // namespace

bool GoldenResult::passed() const {
  return oracle_agrees && !kernels.empty() && std::all_of(kernels.begin(), kernels.end(), [](const Kernel& k) {
           return k.judgement.verdict == Verdict::ok;
         });
}

std::vector<GoldenResult> run_golden(const std::vector<store::GoldenCase>& cases,
                                     const std::vector<store::TemplateSpec>& templates, const NodeFacts& node,
                                     const policies::Policy& policy, Workbench& bench, BlobStore& blobs) {
  const std::int32_t threads = policy.threads > 0 ? policy.threads : node.cores;
  std::vector<Prepared> all;
  std::vector<BuildRequest> builds;  // of all cases at once, so that every core has work
  for (const store::GoldenCase& c : cases) {
    all.push_back(prepared(c, templates, node, threads, blobs));
    for (const RenderedKernel& kernel : all.back().kernels)
      builds.push_back({kernel, policy.build_timeout_seconds * 1'000'000'000});
  }
  const std::vector<BuildFact> built = bench.build(builds);
  std::vector<GoldenResult> out;
  auto fact = built.begin();
  for (std::size_t i = 0; i < cases.size(); ++i) {
    GoldenResult result{
        cases[i].family, cases[i].name, cases[i].origin, oracle_error(cases[i], all[i].graph), false, {}};
    result.oracle_agrees = result.oracle_error <= cases[i].tolerance;
    for (const RenderedKernel& kernel : all[i].kernels)
      result.kernels.push_back({kernel.variant, judged(all[i], kernel, *fact++, policy, threads, bench)});
    out.push_back(std::move(result));
  }
  return out;
}

json::object to_json(const GoldenResult& r) {
  json::array kernels;
  for (const GoldenResult::Kernel& k : r.kernels)
    kernels.emplace_back(json::object{{"template", k.variant.family + "/" + k.variant.template_name},
                                      {"variant", to_string(k.variant)},
                                      {"verdict", name(k.judgement.verdict)},
                                      {"reason", k.judgement.reason},
                                      {"worst_ratio", k.judgement.worst_ratio}});
  // JSON has no infinity.
  return {{"family", r.family},
          {"case", r.name},
          {"origin", r.origin},
          {"oracle_error", std::isfinite(r.oracle_error) ? r.oracle_error : 1e300},
          {"oracle_agrees", r.oracle_agrees},
          {"kernels", kernels},
          {"passed", r.passed()}};
}

}  // namespace kiln::agents
