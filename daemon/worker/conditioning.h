// How much a plain evaluation errs when its luck is taken away: no evaluation in the model's types can be asked for
// less (Higham, Accuracy and Stability of Numerical Algorithms, 1.6: the forward error of a backward stable algorithm
// is about the condition number times one rounding).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::worker {

struct Conditioning {
  double normwise = 0, max_scaled = 0;  // as in agents/artifacts/facts.h
};

// A plain evaluation of the graph, in its own types, over other inputs.
using Evaluate = std::function<std::vector<graph::Tensor>(const std::vector<graph::Tensor>& inputs)>;

// One for each output: the error against `expected` of plain evaluations of inputs of which one in four is moved by a
// unit in its last place, up or down, as `seed` draws: half a unit in root mean square, as if they had been rounded.
// Over eight such draws the root mean square (normwise) and the largest (max_scaled).
//
// Where few errors make up the norm, the luck of the one plain evaluation decides, and of a candidate's. Two norms of n
// independent normal errors, one of them over eight draws, have a ratio whose square is distributed as F(n, 8 n); it is
// past (2 w)^2 in one of a million cases for w = 6.6, 3.0, 1.9, 1.3 and 1.04 at n = 1, 2, 4, 8 and 16. So both figures
// are widened by 1 + 6 / n, n the effective number of elements (sum x^2)^2 / sum x^4 of the right output; from 64 of
// them on the figures are zero, since norms of so many errors differ by a tenth at most and nothing has to be evaluated
// again.
//
// `large`: the inputs are so large that functions saturate (is_large, inputs.h). Then rounding matters in few places
// (rows of an attention whose two best scores are close), and all elements of such a place err together, however many
// they are: n is taken to be 1 wherever the graph has a function that saturates. Inputs of any size are as large once
// they are divided by drawn ones, some of which are next to zero: a region of a softmax that gets standard deviations
// from another one. There the same holds for what saturates behind the division.
[[nodiscard]] std::vector<Conditioning> conditioning_of(const graph::Graph& graph, const Evaluate& plain,
                                                        const std::vector<graph::Tensor>& inputs,
                                                        const std::vector<graph::Tensor>& expected, bool large,
                                                        std::uint64_t seed, int threads);

// The same where tensors are elsewhere. effective(o) is the effective number of elements of output o;
// differences(seeds) what plain evaluations of inputs moved with these seeds, one of each input, differ by from the
// right outputs, one figure of each.
using Differences = std::function<std::vector<Conditioning>(const std::vector<std::uint64_t>& seeds)>;
[[nodiscard]] std::vector<Conditioning> conditioning_of(const graph::Graph& graph, bool large, std::uint64_t seed,
                                                        const std::function<double(std::size_t output)>& effective,
                                                        const Differences& differences);

// Where a graph rounds to integers, as a quantised model does between its layers, a right kernel may come out a step
// away wherever a value lies next to a tie. So each output's figures are at least twice what plain evaluations of the
// graph with such values moved up, and down, differ by (agents/graph/nudged.h): twice, since steps that few values take
// are taken or not by luck. differences(): what a plain evaluation of that graph over the same inputs differs by from
// the right outputs.
using DifferencesOf = std::function<std::vector<Conditioning>(const graph::Graph& nudged)>;
void allow_for_ties(const graph::Graph& graph, const DifferencesOf& differences, std::vector<Conditioning>& figures);
// The same with the tensors at hand.
using EvaluateGraph = std::function<std::vector<graph::Tensor>(const graph::Graph& nudged)>;
void allow_for_ties(const graph::Graph& graph, const EvaluateGraph& plain, const std::vector<graph::Tensor>& expected,
                    std::vector<Conditioning>& figures);

}  // namespace kiln::worker
