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
int drop_single(Graph& graph, Log& log);           // reductions, softmax, scans and windows of single elements
int slice_gathers(Graph& graph, Log& log);         // constant indices that step evenly: a view
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

// What separate() runs: reductions over dimensions with others between them, or with operands that move along some of
// them (reduce_runs), and variances over the former (variance_runs).
int reduce_runs(Graph& graph, Log& log);

// What apply_algebra() runs: each computes the same with fewer operations, and rounds elsewhere.
int merge_clamps(Graph& graph, Log& log);      // clamp_chain: maxima and minima with constants, one after the other
int merge_windows(Graph& graph, Log& log);     // pool_of_pool: windows of windows
int pool_before(Graph& graph, Log& log);       // monotone_pool: a monotone function goes behind a window of a maximum
int sum_products(Graph& graph, Log& log);      // mean_of_product: sums and means of a product's rows or columns
int sum_convolutions(Graph& graph, Log& log);  // mean_of_convolution: of a channel's results, or of windows of them

// What apply_integers() runs.
int integer_products(Graph& graph, Log& log);  // QDQ: products of dequantised bytes are exact sums of bytes, scaled

}  // namespace kiln::graph::rewrite
