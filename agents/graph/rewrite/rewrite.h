// Rewrites of the op graph that leave what it computes as it is: the recognised patterns, folding and cleaning that
// every import goes through. A recognised pattern changes rounding at most; a proof test holds each to the oracle.
#pragma once

#include <string>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::graph::rewrite {

// Runs every rewrite until nothing changes; appends one line for each recognised pattern and one for each cleaning.
void simplify(Graph& graph, std::vector<std::string>& log);

// Takes apart what is not one kernel's work, after simplify(): norms whose parameters move along a part of what is
// normalised, reductions over dimensions that are no neighbours, or along some of which an operand stands still.
// Appends one line for each.
void separate(Graph& graph, std::vector<std::string>& log);

// Replaces what can be computed with fewer operations: not the form but the cost changes, and where results round. Off
// unless a policy allows it (rewrites.algebraic). After separate(); appends one line for each place, "RULE: node".
void apply_algebra(Graph& graph, std::vector<std::string>& log);

// Computes in integers what a quantised model says in floats (QDQ). Equal in real numbers, but not where the float sums
// round: who takes the result for a plan judges it by the graph as it was written. After separate(); appends one line
// for each place, "integer_product: node".
void apply_integers(Graph& graph, std::vector<std::string>& log);

// Names the outputs, which become values of their own where they are an input, a constant, or one value twice.
void name_outputs(Graph& graph, const std::vector<std::string>& names);

}  // namespace kiln::graph::rewrite
