#include "agents/conductor/golden.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "agents/conductor/check_effort.h"
#include "agents/debugger/debugger.h"
#include "agents/graph/interpreter.h"
#include "agents/graph/roundings.h"
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

}  // namespace

graph::Graph golden_graph(const store::GoldenCase& c) {
  graph::Graph g = graph::graph_from_json(
      json::parse(c.graph, "the graph of golden case '" + c.family + "/" + c.name + "'"), nullptr, {});
  for (const std::string& weight : c.weights) {
    const auto input = std::find_if(g.inputs.begin(), g.inputs.end(), [&](graph::ValueId id) {
      return g.values[static_cast<std::size_t>(id)].name == weight;
    });
    if (input == g.inputs.end()) refuse(c, "its graph has no input '" + weight + "' to be a weight");
    const auto tensor = std::make_shared<graph::Tensor>(tensor_of(c, g, *input));
    g.constants[static_cast<std::size_t>(*input)] = graph::Constant{tensor, std::as_bytes(std::span(tensor->bytes))};
    g.inputs.erase(input);
  }
  graph::validate(g);
  return g;
}

namespace {

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

// One template in one case: its kernels are together, since each failure is explained by what the others came to.
struct Tried {
  const store::TemplateSpec* spec = nullptr;
  Space space;
  std::vector<RenderedKernel> kernels;
};

// One case on its way: the region is the whole graph.
struct Prepared {
  graph::Graph graph;
  Partition partition;
  std::string stored, constants;  // digests of the graph and of its weights
  std::vector<Tried> templates;
};

// ": line 12 of template.toml" of the expression that `message` names, if it names one.
std::string place_of(const store::TemplateSpec& spec, const std::string& message) {
  std::vector<std::string> texts = spec.constraints;
  for (const auto* section : {&spec.geometry, &spec.cost})
    for (const auto& member : *section) texts.push_back(member.second);
  const std::string& file = spec.files.at("template.toml");
  for (const std::string& text : texts) {
    const std::size_t at = file.find(text);
    if (text.empty() || at == std::string::npos || message.find("'" + text + "'") == std::string::npos) continue;
    const auto line = 1 + std::count(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    return ": line " + std::to_string(line) + " of template.toml";
  }
  return {};
}

// What an expression of the template cannot give is a fault of the template, whatever the case.
template <class F>
void of_template(const store::TemplateSpec& spec, const store::GoldenCase& c, F work) {
  try {
    work();
  } catch (const Error& error) {
    throw Error(error.code(),
                "cannot run template '" + spec.family + "/" + spec.name + "' on golden case '" + c.family + "/" +
                    c.name + "'" + place_of(spec, error.what()) + ": " + error.what(),
                error.remedy());
  }
}

Prepared prepared(const store::GoldenCase& c, const std::vector<store::TemplateSpec>& templates, GoldenExtent extent,
                  const NodeFacts& node, std::int32_t threads, BlobStore& blobs) {
  Prepared out;
  out.graph = golden_graph(c);
  std::vector<std::int32_t> nodes(out.graph.nodes.size());
  std::iota(nodes.begin(), nodes.end(), 0);
  RegionCut cut = cut_region(out.graph, nodes);
  out.partition = {{std::move(cut.region)}, {std::move(cut.instance)}};
  out.stored = blobs.put(json::canonical(graph::to_json(out.graph)));
  const graph::ConstantLayout layout = graph::layout_constants(out.graph);
  if (layout.total_bytes > 0) out.constants = blobs.put(graph::constant_blob(out.graph, layout));
  const Region& region = out.partition.regions.front();
  const std::optional<Kernel> kernel = lower(region);
  if (!kernel) refuse(c, "its graph is not one kernel");
  const Figures figures = figures_of(*kernel, node, threads);
  for (const store::TemplateSpec& spec : templates) {
    if (spec.target != "cpu" || !accepts(spec, *kernel)) continue;
    of_template(spec, c, [&] {
      Tried tried;
      tried.spec = &spec;
      tried.space = enumerate(spec, region, *kernel, figures, node);
      if (tried.space.rows.empty()) return;
      std::vector<std::size_t> rows = {static_cast<std::size_t>(std::max(0, tried.space.default_row))};
      if (extent == GoldenExtent::spread) rows = spread(tried.space);
      for (const std::size_t row : rows) {
        const Variant variant = variant_of(tried.space, row);
        for (const auto& [name, text] : spec.cost) (void)evaluate(text, figures, variant.tunables);
        tried.kernels.push_back(render(spec, region, *kernel, variant, figures, node));
      }
      out.templates.push_back(std::move(tried));
    });
  }
  return out;
}

// A compiler's line is of the rendered kernel, which ends with the template's text.
std::string diagnostic_text(const Diagnostic& d, const RenderedKernel& kernel, const store::TemplateSpec& spec) {
  const std::size_t at = kernel.source.find(spec.files.at(spec.source));
  const auto before = at == std::string::npos ? std::int64_t{0}
                                              : static_cast<std::int64_t>(std::count(
                                                    kernel.source.begin(),
                                                    kernel.source.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  if (at == std::string::npos || d.line <= before) return d.file + ":" + std::to_string(d.line) + ": " + d.message;
  return "line " + std::to_string(d.line - before) + " of " + spec.source + ": " + d.message;
}

// What one kernel came to, with all that the debugger wants to know of it.
struct Outcome {
  Judgement judgement;
  std::optional<CheckFact> check;
};

Outcome judged(const Prepared& p, const Tried& tried, const RenderedKernel& kernel, const BuildFact& built,
               const policies::Policy& policy, std::int32_t threads, Workbench& bench) {
  if (built.verdict != Verdict::ok) {
    const std::string why = built.diagnostics.empty()
                                ? std::string(name(built.verdict))
                                : diagnostic_text(built.diagnostics.front(), kernel, *tried.spec);
    return {{built.verdict, why, 0, 0}, std::nullopt};
  }
  CheckRequest request;
  request.graph = p.stored;
  request.constants = p.constants;
  request.subject = {to_string(kernel.variant),
                     assemble(p.graph, p.partition, {{kernel, built.object}}, p.constants, threads)};
  request.families = check_families(0, 0);
  request.seed = kSeed;
  request.timeout_ns = policy.run_timeout_seconds * 1'000'000'000;
  CheckFact check = bench.check(request);
  return {judge(check, policy, graph::longest_chain_of_roundings(p.graph)), std::move(check)};
}

// Judges every kernel of a template, and then has the debugger explain those that failed.
std::vector<GoldenResult::Kernel> all_judged(const Prepared& p, const Tried& tried, const BuildFact* built,
                                             const policies::Policy& policy, std::int32_t threads, Workbench& bench) {
  std::vector<GoldenResult::Kernel> out;
  std::vector<Trial> trials;
  std::vector<Outcome> outcomes;
  for (std::size_t i = 0; i < tried.kernels.size(); ++i) {
    outcomes.push_back(judged(p, tried, tried.kernels[i], built[i], policy, threads, bench));
    out.push_back({tried.kernels[i].variant, outcomes[i].judgement});
    trials.push_back({tried.kernels[i].variant, outcomes[i].judgement.verdict, 0});
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i].judgement.verdict == Verdict::ok) continue;
    const RenderedKernel& kernel = tried.kernels[i];
    const Failure failure{kernel.variant,    out[i].judgement.verdict, built[i], outcomes[i].check,
                          out[i].judgement.reason, kernel.source,        kernel.run.front().tasks};
    const Diagnosis diagnosis = diagnose(failure, {tried.space}, trials);
    out[i].cause = diagnosis.cause;
    out[i].proof = diagnosis.proof;
  }
  return out;
}

}  // namespace

std::vector<std::size_t> spread(const Space& space) {
  const auto first = static_cast<std::size_t>(std::max(0, space.default_row));
  std::vector<std::size_t> out;
  std::set<std::pair<std::size_t, std::uint16_t>> held;  // tunable, index of its value
  const auto news = [&](std::size_t row) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < space.names.size(); ++i) count += held.contains({i, space.rows[row][i]}) ? 0 : 1;
    return count;
  };
  const auto take = [&](std::size_t row) {
    out.push_back(row);
    for (std::size_t i = 0; i < space.names.size(); ++i) held.insert({i, space.rows[row][i]});
  };
  if (space.rows.empty()) return out;
  take(first);
  while (out.size() < kMostSpread) {
    std::size_t best = first, most = 0;
    for (std::size_t row = 0; row < space.rows.size(); ++row)
      if (const std::size_t count = news(row); count > most) best = row, most = count;
    if (most == 0) break;
    take(best);
  }
  const std::size_t step = std::max<std::size_t>(1, space.rows.size() / kMostSpread);
  for (std::size_t row = 0; row < space.rows.size() && out.size() < kMostSpread; row += step)
    if (std::find(out.begin(), out.end(), row) == out.end()) out.push_back(row);
  return out;
}

bool GoldenResult::passed() const {
  return oracle_agrees && !kernels.empty() && std::all_of(kernels.begin(), kernels.end(), [](const Kernel& k) {
           return k.judgement.verdict == Verdict::ok;
         });
}

std::vector<GoldenResult> run_golden(const std::vector<store::GoldenCase>& cases,
                                     const std::vector<store::TemplateSpec>& templates, GoldenExtent extent,
                                     const NodeFacts& node, const policies::Policy& policy, Workbench& bench,
                                     BlobStore& blobs) {
  const std::int32_t threads = policy.threads > 0 ? policy.threads : node.cores;
  std::vector<Prepared> all;
  std::vector<BuildRequest> builds;  // of all cases at once, so that every core has work
  for (const store::GoldenCase& c : cases) {
    all.push_back(prepared(c, templates, extent, node, threads, blobs));
    for (const Tried& tried : all.back().templates)
      for (const RenderedKernel& kernel : tried.kernels)
        builds.push_back({kernel, policy.build_timeout_seconds * 1'000'000'000});
  }
  const std::vector<BuildFact> built = bench.build(builds);
  std::vector<GoldenResult> out;
  const BuildFact* fact = built.data();
  for (std::size_t i = 0; i < cases.size(); ++i) {
    GoldenResult result{
        cases[i].family, cases[i].name, cases[i].origin, oracle_error(cases[i], all[i].graph), false, {}};
    result.oracle_agrees = result.oracle_error <= cases[i].tolerance;
    for (const Tried& tried : all[i].templates) {
      for (GoldenResult::Kernel& kernel : all_judged(all[i], tried, fact, policy, threads, bench))
        result.kernels.push_back(std::move(kernel));
      fact += tried.kernels.size();
    }
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
                                      {"worst_ratio", k.judgement.worst_ratio},
                                      {"cause", k.cause},
                                      {"proof", k.proof}});
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
