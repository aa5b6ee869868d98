// Proof of a rewrite: the graph before and after it, and inputs on which both must agree.
#pragma once

#include <string>

#include "agents/graph/rewrite/rewrite.h"
#include "agents/graph/rewrite/rules.h"
#include "tests/graph/build.h"

namespace kiln::graph::test {

template <class T>
inline int count(const Graph& g) {
  int n = 0;
  for (const Node& node : g.nodes) n += std::holds_alternative<T>(node.op) ? 1 : 0;
  return n;
}

// Normal, large, tiny, shifted and equal values, in rows of `length`.
inline std::vector<Tensor> awkward(Shape shape) {
  std::vector<Tensor> out;
  for (const double scale : {1.0, 1e4, 1e-6}) out.push_back(random_floats(shape, 3, scale));
  out.push_back(random_floats(shape, 4));
  for (float& value : out.back().as<float>()) value += 1000;
  out.push_back(Tensor::zeros({DType::f32, shape}));
  return out;
}

struct Proof {
  Graph before, after;
  rewrite::Log log;
};

inline Proof simplified(const Graph& g) {
  Proof proof{g, g, {}};
  rewrite::simplify(proof.after, proof.log);
  validate(proof.after);
  return proof;
}

inline bool logged(const rewrite::Log& log, const std::string& start) {
  for (const auto& line : log)
    if (line.rfind(start, 0) == 0) return true;
  return false;
}

// The largest difference over all inputs, on the oracle, with NaN and infinities at the same places.
inline double disagreement(const Proof& proof, const std::vector<Tensor>& inputs) {
  double worst = 0;
  for (const Tensor& x : inputs) worst = std::max(worst, difference(run64(proof.before, {x}), run64(proof.after, {x})));
  return worst;
}

}  // namespace kiln::graph::test
