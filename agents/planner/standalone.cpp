#include <cmath>
#include <thread>

#include "agents/graph/domains.h"
#include "agents/planner/planner.h"
#include "runtime/base/parallel.h"
#include "runtime/base/random.h"

namespace kiln::agents {
namespace {

using graph::ValueId;

// The sum of twelve uniform numbers of 16 bits less six: variance one, near enough to normal for weights, and the same
// bits on every platform, which std::log and std::cos are not.
double normal(SplitMix64& random) {
  std::uint64_t sum = 0;
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t bits = random.next();
    sum += (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
  }
  return static_cast<double>(sum) / 65536 - 6 + 12 * 0.5 / 65536;
}

// Products of weights keep the scale of their other operand when a weight's variance is one over its fan-in: the extent
// that is summed over. A vector (bias, scale) has none.
double weight_scale(const graph::Shape& shape) {
  if (shape.size() < 2) return 1;
  return 1 / std::sqrt(static_cast<double>(shape[shape.size() - 2]));
}

// The same whatever the number of threads.
graph::Tensor generated(const graph::TensorType& type, const std::optional<graph::Domain>& domain, std::uint64_t seed) {
  constexpr std::int64_t kStretch = 1 << 16;
  graph::Tensor tensor = graph::Tensor::zeros(type);
  const double scale = weight_scale(type.shape);
  const graph::Domain range = domain.value_or(graph::Domain{0, 1});
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  parallel(cores, tensor.count(), kStretch, [&](std::int64_t begin, std::int64_t end) {
    SplitMix64 random(splitmix64(seed + static_cast<std::uint64_t>(begin)));
    for (std::int64_t i = begin; i < end; ++i) {
      const double value =
          graph::is_float(type.dtype)
              ? normal(random) * scale
              : static_cast<double>(range.low) +
                    static_cast<double>(random.below(static_cast<std::uint64_t>(range.high - range.low) + 1));
      graph::store_double(type.dtype, tensor.bytes.data(), i, value);
    }
  });
  return tensor;
}

}  // namespace

graph::Graph standalone(const Region& region, std::uint64_t seed) {
  graph::Graph out = region.body;
  const std::vector<std::optional<graph::Domain>> domains = graph::weight_domains(region.body);
  std::vector<ValueId> inputs;
  for (std::size_t i = 0; i < region.body.inputs.size(); ++i) {
    const ValueId v = region.body.inputs[i];
    if (!region.weight[i]) {
      inputs.push_back(v);
      continue;
    }
    const auto tensor = std::make_shared<const graph::Tensor>(generated(out.type(v), domains[i], splitmix64(seed + i)));
    out.constants[static_cast<std::size_t>(v)] = graph::Constant{tensor, tensor->bytes};
  }
  out.inputs = std::move(inputs);
  return out;
}

}  // namespace kiln::agents
