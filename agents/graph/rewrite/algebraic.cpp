#include "agents/graph/rewrite/rewrite.h"
#include "agents/graph/rewrite/rules.h"

namespace kiln::graph::rewrite {
namespace {

constexpr int kMostRounds = 8;  // what one rule makes another may take up; each round leaves fewer places

}  // namespace

void apply_algebra(Graph& graph, std::vector<std::string>& log) {
  for (int round = 0; round < kMostRounds; ++round) {
    const int replaced = sum_products(graph, log) + sum_convolutions(graph, log) + merge_windows(graph, log) +
                         pool_before(graph, log) + merge_clamps(graph, log);
    (void)fold_views(graph);
    (void)merge_equal(graph);
    (void)remove_dead(graph);
    if (replaced == 0) break;
  }
}

void apply_integers(Graph& graph, std::vector<std::string>& log) {
  if (integer_products(graph, log) == 0) return;
  (void)fold_views(graph);
  (void)merge_equal(graph);
  (void)remove_dead(graph);
}

}  // namespace kiln::graph::rewrite
