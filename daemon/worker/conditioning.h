// How far the right answer itself moves when inputs move by a rounding: no evaluation in the model's types can be
// asked for less error than that (Higham, Accuracy and Stability of Numerical Algorithms, 1.6: the forward error of a
// backward stable algorithm is about the condition number times one rounding).
#pragma once

#include <cstdint>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::worker {

struct Conditioning {
  double normwise = 0, max_scaled = 0;  // as in agents/artifacts/facts.h
};

// One for each output: the difference to `expected` after every floating-point input was moved by half a unit in its
// last place, in directions that `seed` draws; over four draws the root mean square (normwise) and the largest
// (max_scaled).
//
// A plain evaluation may be right by luck, and where few elements make up the norm its luck decides: the difference of
// three standard deviations from the typical error is then a matter of one draw. So both figures are widened by
// 1 + 2 / sqrt(n), n the effective number of elements (sum x^2)^2 / sum x^4; from kMany of them on they are zero, since
// norms of so many errors differ by a tenth at most (chi-square) and nothing has to be evaluated again.
[[nodiscard]] std::vector<Conditioning> conditioning_of(const graph::Graph& graph,
                                                        const std::vector<graph::Tensor>& inputs,
                                                        const std::vector<graph::Tensor>& expected, std::uint64_t seed,
                                                        int threads);

}  // namespace kiln::worker
