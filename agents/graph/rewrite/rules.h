// The single rewrites, in the order in which simplify() runs them. Private to agents/graph/rewrite and its tests.
#pragma once

#include <string>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::graph::rewrite {

using Log = std::vector<std::string>;

// Each returns how many nodes it replaced or removed.
int fold_views(Graph& graph);              // drops views that change nothing, merges views of views
int merge_equal(Graph& graph);             // common subexpressions and equal small constants
int remove_dead(Graph& graph);             // nodes, values and constants that no output depends on; renumbers
int recognise_layer_norm(Graph& graph, Log& log);  // and RMSNorm
int recognise_softmax(Graph& graph, Log& log);
int recognise_activation(Graph& graph, Log& log);  // GELU in its spellings, SiLU, Mish, HardSwish, softplus ...
int recognise_group_norm(Graph& graph, Log& log);  // an instance norm of groups, scaled and moved per channel
int recognise_log_sum_exp(Graph& graph, Log& log);
int recognise_scan(Graph& graph, Log& log);        // reversed and exclusive scans
int recognise_rotary(Graph& graph, Log& log);      // rotary position embedding by halves
int recognise_attention(Graph& graph, Log& log);
int fold_scales(Graph& graph, Log& log);  // scales and biases per channel into constant weights: batch norms
int recognise_shared_heads(Graph& graph, Log& log);  // attention whose k and v were repeated for groups of queries

}  // namespace kiln::graph::rewrite
