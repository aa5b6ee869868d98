#include "agents/conductor/first_steps.h"

#include <algorithm>

#include "agents/graph/rewrite/rewrite.h"
#include "runtime/base/digest.h"
#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

constexpr std::int32_t kLeastFirst = 16;  // candidates of a first round, where there are cores for them
constexpr std::size_t kNamed = 5;         // operators that an error names before it counts the rest

}  // namespace

void require_computable(const Lab& lab) {
  const std::vector<std::string> missing = uncomputed(lab.input().workload, buildable(lab, Purpose::incumbent));
  if (missing.empty()) return;
  std::string text = "cannot tune '" + lab.input().workload_name + "': no template of the corpus computes " +
                     std::to_string(missing.size()) + " of its operators: ";
  for (std::size_t i = 0; i < std::min(missing.size(), kNamed); ++i) text += (i == 0 ? "" : ", ") + missing[i];
  if (missing.size() > kNamed) text += " and " + std::to_string(missing.size() - kNamed) + " more";
  throw Error(ErrorCode::unsupported, text, "install a corpus that has templates for them");
}

graph::Graph rewritten(const Lab& lab, AlgebraOutcome& algebra) {
  graph::Graph out = lab.input().workload;
  const auto apply = [&](bool allowed, const auto& rewrite) {
    if (!allowed) return;
    graph::Graph changed = out;
    std::vector<std::string> log;
    rewrite(changed, log);
    if (log.empty() || !uncomputed(changed, buildable(lab, Purpose::incumbent)).empty()) return;  // the corpus lacks it
    out = std::move(changed);
    algebra.rewrites.insert(algebra.rewrites.end(), log.begin(), log.end());
  };
  apply(lab.input().policy.integers, graph::rewrite::apply_integers);
  apply(lab.input().policy.algebraic, graph::rewrite::apply_algebra);
  return out;
}

std::int32_t first_round_size(const NodeFacts& node, const policies::Policy& policy) {
  const std::int32_t learned_from = std::max(kLeastFirst, policy.max_candidates_per_region / 2);
  return std::min(std::max(4, 4 * node.cores), learned_from);
}

std::int32_t round_size(std::int64_t most, std::size_t templates, std::int64_t each_ns, std::int64_t left_ns) {
  const auto least = std::min<std::int64_t>(most, std::max<std::size_t>(1, templates));
  return static_cast<std::int32_t>(each_ns <= 0 ? most : std::clamp(left_ns / each_ns, least, most));
}

std::uint64_t seed_for(const JobInput& input, const std::string& region, std::string_view purpose) {
  const std::string digest = sha256_hex(std::to_string(input.seed) + "/" + region + "/" + std::string(purpose));
  return std::stoull(digest.substr(0, 15), nullptr, 16);
}

}  // namespace kiln::agents
