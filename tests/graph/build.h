// Small graphs and tensors for the tests of this room.
#pragma once

#include <cmath>
#include <cstring>
#include <initializer_list>
#include <random>

#include "agents/graph/graph.h"
#include "agents/graph/interpreter.h"

namespace kiln::graph::test {

template <class T>
Tensor tensor(DType type, Shape shape, const std::vector<T>& values) {
  Tensor out = Tensor::zeros({type, std::move(shape)});
  std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
  return out;
}

inline Tensor floats(Shape shape, const std::vector<float>& values) {
  return tensor(DType::f32, std::move(shape), values);
}

inline Tensor random_floats(Shape shape, unsigned seed, double scale = 1) {
  Tensor out = Tensor::zeros({DType::f32, std::move(shape)});
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0, static_cast<float>(scale));
  for (float& value : out.as<float>()) value = normal(engine);
  return out;
}

inline ValueId scalar(Graph& g, float value) { return g.add_constant("c", floats({}, {value})); }

inline ValueId apply(Graph& g, ExprOp op, ValueId a, ValueId b = -1) {
  Expr e;
  std::vector<ValueId> inputs = {a};
  const auto x = e.operand(0, g.type(a).dtype);
  if (b >= 0) inputs.push_back(b);
  e.results = {e.apply(op, x, b >= 0 ? e.operand(1, g.type(b).dtype) : -1)};
  return g.add_node(Pointwise{e}, inputs, std::string(name(op)))[0];
}

inline std::vector<double> run64(const Graph& g, const std::vector<Tensor>& inputs) {
  const auto out = evaluate(g, inputs, Arithmetic::fp64, 2);
  const auto values = out[0].as<double>();
  return {values.begin(), values.end()};
}

inline std::vector<float> run32(const Graph& g, const std::vector<Tensor>& inputs) {
  const auto out = evaluate(g, inputs, Arithmetic::model);
  const auto values = out[0].as<float>();
  return {values.begin(), values.end()};
}

// The largest difference; NaN and infinities must stand at the same places.
inline double difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (a[i] == b[i]) continue;
    if (std::isnan(a[i]) || std::isnan(b[i])) return INFINITY;
    worst = std::max(worst, std::fabs(a[i] - b[i]));
  }
  return worst;
}

}  // namespace kiln::graph::test
