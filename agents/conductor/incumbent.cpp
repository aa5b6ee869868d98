#include "agents/conductor/incumbent.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "agents/writer/constructs.h"
#include "agents/writer/writer.h"
#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

// A guess less sure than this changes no baseline.
constexpr float kFarSlower = 4;

RenderedKernel reference_kernel(const Lab& lab, const Region& region) {
  const std::optional<Kernel> kernel = lower(region);
  if (!kernel)
    throw Error(ErrorCode::unsupported, "cannot run '" + region.label + "': it is not one kernel of any family");
  const Candidates candidates = candidates_for(lab, region, *kernel, Purpose::incumbent);
  if (candidates.spaces.empty())
    throw Error(ErrorCode::unsupported, "cannot run '" + region.label + "': no template of the corpus accepts it");
  const std::size_t chosen = reference_of(candidates);
  const Space& space = candidates.spaces[chosen];
  const auto row = static_cast<std::size_t>(std::max(0, space.default_row));
  return render(*candidates.specs[chosen], region, *kernel, variant_of(space, row), candidates.figures, lab.node());
}

bool allowed(const Lab& lab, const store::TemplateSpec& spec, Purpose purpose) {
  return purpose == Purpose::incumbent ||
         policies::allows(lab.input().policy, spec.family, spec.name, spec.vendor);
}

// Templates ask for instruction sets by the node's features, so that what the policy forbids is not even enumerated.
NodeFacts allowed_node(const Lab& lab, Purpose purpose) {
  NodeFacts node = lab.node();
  if (purpose == Purpose::incumbent) return node;
  for (const std::string& construct : lab.input().policy.forbidden)
    std::erase_if(node.features, [&](const std::string& feature) {
      const bool wider = construct == "avx2" && (feature.starts_with("avx512") || feature == "fma");
      return feature.starts_with(construct) || wider;
    });
  return node;
}

Candidates all_for(const Lab& lab, const Region& region, const Kernel& kernel, Purpose purpose) {
  Candidates out;
  out.node = allowed_node(lab, purpose);
  out.figures = figures_of(kernel, out.node, lab.threads());
  for (const store::TemplateSpec& spec : lab.input().corpus) {
    if (spec.target != lab.input().target || !allowed(lab, spec, purpose) || !accepts(spec, kernel)) continue;
    Space space = enumerate(spec, region, kernel, out.figures, out.node);
    if (space.rows.empty()) continue;
    out.specs.push_back(&spec);
    out.spaces.push_back(std::move(space));
  }
  return out;
}

}  // namespace

std::size_t reference_of(const Candidates& candidates) {
  std::size_t likely = 0;
  float first_ns = 0, least_ns = 0;
  for (std::size_t i = 0; i < candidates.specs.size(); ++i) {
    const Space& space = candidates.spaces[i];
    if (candidates.specs[i]->vendor) return i;
    if (space.estimate_ns.empty()) continue;
    const float ns = space.estimate_ns[static_cast<std::size_t>(std::max(0, space.default_row))];
    if (i == 0) first_ns = ns;
    if (least_ns > 0 && ns >= least_ns) continue;
    least_ns = ns;
    likely = i;
  }
  return first_ns > kFarSlower * least_ns ? likely : 0;
}

Buildable buildable(const Lab& lab, Purpose purpose) {
  return [&lab, purpose](const Kernel& kernel) {
    const std::vector<store::TemplateSpec>& corpus = lab.input().corpus;
    return std::any_of(corpus.begin(), corpus.end(), [&](const store::TemplateSpec& spec) {
      return spec.target == lab.input().target && allowed(lab, spec, purpose) && accepts(spec, kernel);
    });
  };
}

const store::TemplateSpec& Candidates::spec_of(const Variant& variant) const {
  for (const store::TemplateSpec* spec : specs)
    if (spec->family == variant.family && spec->name == variant.template_name) return *spec;
  throw Error(ErrorCode::internal, "cannot render " + to_string(variant) + ": its template is not in the corpus");
}

Candidates candidates_for(const Lab& lab, const Region& region, const Kernel& kernel, Purpose purpose) {
  Candidates out = all_for(lab, region, kernel, purpose);
  if (!out.specs.empty() || purpose == Purpose::incumbent) return out;
  Candidates incumbents = all_for(lab, region, kernel, Purpose::incumbent);
  if (incumbents.specs.empty()) return out;
  const std::size_t chosen = reference_of(incumbents);
  Space& space = incumbents.spaces[chosen];
  space.rows = {space.rows[static_cast<std::size_t>(std::max(0, space.default_row))]};
  space.default_row = 0;
  out = {{incumbents.specs[chosen]}, {std::move(space)}, std::move(incumbents.figures), std::move(incumbents.node)};
  return out;
}

namespace {

// What a template's cost model gives its default at the node's ceilings; 0 where there is none.
double estimated_ns(const Candidates& found, std::size_t i) {
  const Space& space = found.spaces[i];
  if (space.default_row < 0) return 0;
  const Variant variant = variant_of(space, static_cast<std::size_t>(space.default_row));
  const auto part = [&](const char* cost, const std::map<std::string, double>& ceilings, const char* ceiling) {
    const auto text = found.specs[i]->cost.find(cost);
    const auto rate = ceilings.find(ceiling);
    if (text == found.specs[i]->cost.end() || rate == ceilings.end() || rate->second <= 0) return 0.0;
    return evaluate(text->second, found.figures, variant.tunables) / rate->second * 1e9;
  };
  return part("flops", found.node.flops, "f32") + part("bytes", found.node.bandwidth, "memory_copy");
}

}  // namespace

Candidates likely_first(Candidates found, const std::map<std::string, std::int32_t>& wins) {
  if (found.node.gpu) return found;  // it is timed before it is checked, and objects are built ahead in this order
  struct Standing { double slow; std::int32_t won; };  // by how many factors of two behind the first
  // A vendor's model is the work to be done, which says nothing of its code: it stands where the first of ours does.
  std::vector<double> ns;
  double least = 0;
  for (std::size_t i = 0; i < found.specs.size(); ++i) {
    ns.push_back(estimated_ns(found, i));
    if (!found.specs[i]->vendor && (least == 0 || ns[i] < least)) least = ns[i];
  }
  for (std::size_t i = 0; i < found.specs.size(); ++i)
    if (found.specs[i]->vendor) ns[i] = least;
  std::vector<Standing> standing;
  std::vector<std::size_t> order(found.specs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (const std::size_t i : order) {
    const auto at = wins.find(found.specs[i]->family + "/" + found.specs[i]->name);
    standing.push_back({least > 0 && ns[i] > 0 ? std::floor(std::log2(ns[i] / least)) : 0,
                        at == wins.end() ? 0 : at->second});
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (standing[a].slow != standing[b].slow) return standing[a].slow < standing[b].slow;
    return standing[a].won > standing[b].won;
  });
  Candidates out{{}, {}, std::move(found.figures), std::move(found.node)};
  for (const std::size_t i : order) {
    out.specs.push_back(found.specs[i]);
    out.spaces.push_back(std::move(found.spaces[i]));
  }
  return out;
}

std::vector<RenderedKernel> first_kernels(const Lab& lab, const Region& region,
                                          const std::map<std::string, std::int32_t>& wins, std::size_t most) {
  std::vector<RenderedKernel> out;
  const std::optional<Kernel> kernel = lower(region);
  if (!kernel) return out;
  const Candidates found = likely_first(candidates_for(lab, region, *kernel, Purpose::candidate), wins);
  for (std::size_t i = 0; i < std::min(most, found.specs.size()); ++i) {
    if (found.spaces[i].default_row < 0) continue;
    const Variant variant = variant_of(found.spaces[i], static_cast<std::size_t>(found.spaces[i].default_row));
    try {
      RenderedKernel one = render(*found.specs[i], region, *kernel, variant, found.figures, found.node);
      if (!forbidden_construct(one, lab.input().policy.forbidden)) out.push_back(std::move(one));
    } catch (const Error&) {  // the search says what is wrong with it
    }
  }
  return out;
}

std::vector<RenderedKernel> incumbent_kernels(const Lab& lab, const Baseline& base) {
  std::vector<RenderedKernel> rendered;
  for (const Region& region : base.partition.regions) rendered.push_back(reference_kernel(lab, region));
  return rendered;
}

Assembled incumbent_of(Lab& lab, const graph::Graph& g) {
  Assembled out;
  out.parts = baseline(g, buildable(lab, Purpose::incumbent));
  for (BuildOutcome& built : lab.build(incumbent_kernels(lab, out.parts))) {
    if (!built.ok()) {
      const std::string why = built.fact.diagnostics.empty() ? std::string(name(built.fact.verdict))
                                                             : built.fact.diagnostics.front().message;
      throw Error(ErrorCode::unavailable,
                  "cannot build the incumbent kernel " + to_string(built.kernel.variant) + ": " + why, "kctl doctor");
    }
    out.kernels.push_back({std::move(built.kernel), built.fact.object});
  }
  out.plan = assemble(out.parts.graph, out.parts.partition, out.kernels, lab.store_constants(out.parts.graph),
                      lab.threads());
  out.stored = lab.store_graph(g);
  return out;
}

std::string op_by_op_label(const Assembled& incumbent) {
  return std::to_string(incumbent.plan.run.size()) + " launches, op by op";
}

std::string template_of(const Variant& variant) { return variant.family + "/" + variant.template_name; }

}  // namespace kiln::agents
