#include <unordered_set>

#include "agents/graph/rewrite/rewrite.h"
#include "agents/graph/rewrite/rules.h"

namespace kiln::graph::rewrite {
namespace {

// NaN-safe softmax, as PyTorch writes it for rows that may be fully masked, stays as it is: where(isnan(y), 0, y) is
// not attention's own arithmetic, and dropping it would change such rows from zeros to NaN.
void clean(Graph& graph, int& views, int& merged, int& dead) {
  for (int round = 0; round < 8; ++round) {
    const int v = fold_views(graph), m = merge_equal(graph), d = remove_dead(graph);
    views += v;
    merged += m;
    dead += d;
    if (v + m == 0) break;
  }
}

}  // namespace

void simplify(Graph& graph, std::vector<std::string>& log) {
  int views = 0, merged = 0, dead = 0;
  (void)slice_gathers(graph, log);
  (void)drop_single(graph, log);
  clean(graph, views, merged, dead);
  (void)recognise_layer_norm(graph, log);
  (void)recognise_group_norm(graph, log);
  (void)fold_scales(graph, log);
  (void)recognise_softmax(graph, log);
  (void)recognise_log_sum_exp(graph, log);
  (void)recognise_activation(graph, log);
  (void)recognise_scan(graph, log);
  (void)recognise_rotary(graph, log);
  clean(graph, views, merged, dead);
  (void)recognise_attention(graph, log);
  (void)recognise_shared_heads(graph, log);
  clean(graph, views, merged, dead);
  const auto note = [&](const char* name, int count) {
    if (count > 0) log.push_back(name + (": " + std::to_string(count) + " nodes"));
  };
  note("fold_views", views);
  note("merge_equal", merged);
  note("dead_code", dead);
}

void name_outputs(Graph& graph, const std::vector<std::string>& names) {
  std::unordered_set<ValueId> taken(graph.inputs.begin(), graph.inputs.end());
  for (std::size_t i = 0; i < graph.outputs.size(); ++i) {
    ValueId& id = graph.outputs[i];
    if (graph.is_constant(id) || !taken.insert(id).second) {
      id = graph.add_node(Reshape{graph.type(id).shape}, {id}, names[i] + " (output)")[0];
      taken.insert(id);
    }
    graph.values[static_cast<std::size_t>(id)].name = names[i];
  }
}

}  // namespace kiln::graph::rewrite
