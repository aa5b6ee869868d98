#include <cmath>

#include "agents/planner/planner.h"
#include "agents/search/random.h"

namespace kiln::agents {
namespace {

using graph::ValueId;

// The sum of twelve uniform numbers less six: variance one, near enough to normal for weights, and the same bits on
// every platform, which std::log and std::cos are not.
double normal(Random& random) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += random.unit();
  return sum;
}

// Products of weights keep the scale of their other operand when a weight's variance is one over its fan-in: the extent
// that is summed over. A vector (bias, scale) has none.
double weight_scale(const graph::Shape& shape) {
  if (shape.size() < 2) return 1;
  return 1 / std::sqrt(static_cast<double>(shape[shape.size() - 2]));
}

graph::Tensor generated(const graph::TensorType& type, const std::optional<graph::Domain>& domain, Random& random) {
  graph::Tensor tensor = graph::Tensor::zeros(type);
  const std::int64_t count = tensor.count();
  const double scale = weight_scale(type.shape);
  for (std::int64_t i = 0; i < count; ++i) {
    double value = 0;
    if (graph::is_float(type.dtype)) {
      value = normal(random) * scale;
    } else {
      const graph::Domain range = domain.value_or(graph::Domain{0, 1});
      value = static_cast<double>(range.low) +
              static_cast<double>(random.below(static_cast<std::uint64_t>(range.high - range.low) + 1));
    }
    graph::store_double(type.dtype, tensor.bytes.data(), i, value);
  }
  return tensor;
}

}  // namespace

graph::Graph standalone(const Region& region, std::uint64_t seed) {
  graph::Graph out = region.body;
  const std::vector<std::optional<graph::Domain>> domains = graph::input_domains(region.body);
  Random random(seed);
  std::vector<ValueId> inputs;
  for (std::size_t i = 0; i < region.body.inputs.size(); ++i) {
    const ValueId v = region.body.inputs[i];
    if (!region.weight[i]) {
      inputs.push_back(v);
      continue;
    }
    const auto tensor = std::make_shared<const graph::Tensor>(generated(out.type(v), domains[i], random));
    out.constants[static_cast<std::size_t>(v)] = graph::Constant{tensor, tensor->bytes};
  }
  out.inputs = std::move(inputs);
  return out;
}

}  // namespace kiln::agents
