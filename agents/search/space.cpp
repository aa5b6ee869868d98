// Enumeration by backtracking: tunables are bound in template order and a constraint is decided at the first tunable
// where all of its names are bound, so that a contradiction cuts a whole subtree.
#include <algorithm>
#include <cstdlib>

#include "agents/search/estimate.h"
#include "agents/search/expression.h"
#include "agents/search/search.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

// A template with more valid rows than this is a mistake: rows are kept in memory and ranked one by one.
constexpr std::size_t kMostRows = 4'000'000;

struct FloatTypes {
  const store::TemplateSpec& spec;
  bool accepted(const Access& access) const {
    return !graph::is_float(access.type) ||
           std::find(spec.dtypes.begin(), spec.dtypes.end(), graph::name(access.type)) != spec.dtypes.end();
  }
  bool accepted(const std::vector<Access>& accesses) const {
    return std::all_of(accesses.begin(), accesses.end(), [this](const Access& a) { return accepted(a); });
  }
  bool operator()(const PointwiseKernel& k) const { return accepted(k.reads) && accepted(k.writes); }
  bool operator()(const RowKernel& k) const { return accepted(k.reads) && accepted(k.writes); }
  bool operator()(const MatmulKernel& k) const {
    return accepted(k.a) && accepted(k.b) && accepted(k.reads) && accepted(k.writes);
  }
  bool operator()(const AttentionKernel& k) const {
    return accepted(k.q) && accepted(k.k) && accepted(k.v) && (!k.mask || accepted(*k.mask)) && accepted(k.out);
  }
  bool operator()(const GatherKernel& k) const {
    return accepted(k.data) && accepted(k.reads) && accepted(k.writes);
  }
  bool operator()(const ConcatKernel& k) const {
    return accepted(k.write) && std::all_of(k.sources.begin(), k.sources.end(),
                                            [this](const auto& source) { return accepted(source.access); });
  }
  bool operator()(const ConvolutionKernel& k) const {
    return accepted(k.x) && accepted(k.w) && accepted(k.reads) && accepted(k.writes);
  }
  bool operator()(const WindowKernel& k) const { return accepted(k.x); }
  bool operator()(const PadKernel& k) const { return accepted(k.x); }
  bool operator()(const LineKernel& k) const { return accepted(k.reads); }
  bool operator()(const ScatterKernel& k) const { return accepted(k.data); }
  bool operator()(const RecurrentKernel& k) const { return accepted(k.inputs[0]); }
};

bool applies(const store::TemplateSpec& spec, const Kernel& kernel, const NodeFacts& node) {
  if (spec.anchor != anchor(kernel)) return false;
  for (const std::string& feature : spec.cpu_features)
    if (std::find(node.features.begin(), node.features.end(), feature) == node.features.end()) return false;
  return std::visit(FloatTypes{spec}, kernel);
}

class Backtracking {
 public:
  Backtracking(const store::TemplateSpec& spec, const Figures& figures, Space& space)
      : spec_(spec), space_(space), values_(space.names.size(), 1.0), decided_(space.names.size() + 1) {
    // Expressions keep the addresses of values_, whose size is final. The first values stand in while parsing.
    for (std::size_t i = 0; i < space.values.size(); ++i)
      if (!space.values[i].empty()) values_[i] = static_cast<double>(space.values[i].front());
    for (const std::string& text : spec.constraints) {
      Expression constraint(text, figures, space.names, values_);
      const auto depth = static_cast<std::size_t>(constraint.last_slot() + 1);
      decided_[depth].push_back(std::move(constraint));
    }
  }

  void run() {
    if (!holds(0)) return;
    row_.resize(space_.names.size());
    bind(0);
  }

 private:
  bool holds(std::size_t depth) const {
    for (const Expression& constraint : decided_[depth])
      if (constraint.value() == 0) return false;
    return true;
  }

  void bind(std::size_t depth) {
    if (depth == row_.size()) {
      if (space_.rows.size() == kMostRows)
        throw Error(ErrorCode::limit, "cannot enumerate template '" + spec_.family + "/" + spec_.name +
                                          "': more than " + std::to_string(kMostRows) +
                                          " configurations; add constraints");
      space_.rows.push_back(row_);
      return;
    }
    const auto& choices = space_.values[depth];
    for (std::size_t i = 0; i < choices.size(); ++i) {
      values_[depth] = static_cast<double>(choices[i]);
      if (!holds(depth + 1)) continue;
      row_[depth] = static_cast<std::uint16_t>(i);
      bind(depth + 1);
    }
  }

  const store::TemplateSpec& spec_;
  Space& space_;
  std::vector<double> values_;
  std::vector<std::vector<Expression>> decided_;  // by the number of tunables that must be bound
  std::vector<std::uint16_t> row_;
};

// The valid row with the fewest steps from the defaults, counted in positions of each tunable's list.
std::int32_t nearest_to_default(const store::TemplateSpec& spec, const Space& space) {
  std::vector<int> wanted;
  for (const store::Tunable& tunable : spec.tunables) {
    const auto found = std::find(tunable.values.begin(), tunable.values.end(), tunable.default_value);
    wanted.push_back(found == tunable.values.end() ? 0 : static_cast<int>(found - tunable.values.begin()));
  }
  std::int32_t best = -1;
  int best_steps = 0;
  for (std::size_t row = 0; row < space.rows.size(); ++row) {
    int steps = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) steps += std::abs(static_cast<int>(space.rows[row][i]) - wanted[i]);
    if (best >= 0 && steps >= best_steps) continue;
    best = static_cast<std::int32_t>(row);
    best_steps = steps;
  }
  return best;
}

}  // namespace

Space enumerate(const store::TemplateSpec& spec, const Region& region, const Kernel& kernel, const Figures& figures,
                const NodeFacts& node) {
  Space space;
  space.region = region.key;
  space.family = spec.family;
  space.template_name = spec.name;
  space.template_digest = spec.digest;
  for (const store::Tunable& tunable : spec.tunables) {
    if (tunable.values.size() > 65'535)
      throw Error(ErrorCode::limit, "cannot enumerate tunable '" + tunable.name + "': more than 65535 values");
    space.names.push_back(tunable.name);
    space.values.push_back(tunable.values);
  }
  if (!applies(spec, kernel, node)) return space;
  Backtracking(spec, figures, space).run();
  space.default_row = nearest_to_default(spec, space);
  if (!space.rows.empty()) estimate(spec, figures, space);
  return space;
}

Variant variant_of(const Space& space, std::size_t row) {
  Variant v{space.region, space.family, space.template_name, space.template_digest, {}};
  for (std::size_t i = 0; i < space.names.size(); ++i)
    v.tunables[space.names[i]] = space.values[i][space.rows.at(row)[i]];
  return v;
}

bool excludes(const LearnedConstraint& c, const Variant& v) {
  if (c.family != v.family || c.template_name != v.template_name) return false;
  return std::all_of(c.when.begin(), c.when.end(), [&](const auto& pair) {
    const auto found = v.tunables.find(pair.first);
    return found != v.tunables.end() && found->second == pair.second;
  });
}

json::object to_json(const Proposal& p) { return {{"variant", to_json(p.variant)}, {"why", p.why}}; }

}  // namespace kiln::agents
