#include "daemon/worker/device_oracle/device_oracle.h"

#include <algorithm>
#include <optional>

#include "daemon/worker/device_oracle/device_array.h"

namespace kiln::worker {
namespace {

using namespace graph;

// A line's places are each found by a look at the whole line.
constexpr double kMostSteps = 1e12;

double count_of(const Graph& g, ValueId v) { return static_cast<double>(element_count(g.type(v).shape)); }

double product_of(const Shape& shape) {
  double out = 1;
  for (const std::int64_t extent : shape) out *= static_cast<double>(extent);
  return out;
}

double work_of(const Graph& g, const Node& node) {
  const double out = count_of(g, node.outputs[0]);
  const Shape& first = g.type(node.inputs.empty() ? node.outputs[0] : node.inputs[0]).shape;
  if (const auto* op = std::get_if<Pointwise>(&node.op)) return out * static_cast<double>(op->expr.nodes.size());
  if (const auto* op = std::get_if<MatMul>(&node.op))
    return out * static_cast<double>(first[first.size() - (op->transpose_a ? 2 : 1)]);
  if (std::holds_alternative<Attention>(node.op)) {
    const Shape& k = g.type(node.inputs[1]).shape;
    return 2 * out * static_cast<double>(k[k.size() - 2]);
  }
  if (const auto* op = std::get_if<Convolution>(&node.op)) {
    const Shape& w = g.type(node.inputs[1]).shape;
    const double taps = product_of({w.begin() + 2, w.end()});
    return out * taps * static_cast<double>(first[1] / op->groups);
  }
  if (const auto* op = std::get_if<Window>(&node.op)) return out * product_of(op->kernel);
  if (const auto* op = std::get_if<TopK>(&node.op)) return product_of(first) * static_cast<double>(op->k);
  double most = out;
  for (const ValueId v : node.inputs) most = std::max(most, count_of(g, v));
  return most;
}

bool is_covered(const Graph& g, const Node& node) {
  for (const std::vector<ValueId>* values : {&node.inputs, &node.outputs})
    for (const ValueId v : *values)
      if (is_float8(g.type(v).dtype) || g.type(v).shape.size() > targets::cuda::oracle::kRank || count_of(g, v) == 0)
        return false;
  if (std::holds_alternative<Recurrent>(node.op)) return false;
  if (const auto* op = std::get_if<Pointwise>(&node.op)) {
    for (const ExprNode& step : op->expr.nodes)
      if (is_float8(step.type)) return false;
    return op->expr.nodes.size() <= targets::cuda::oracle::kMostSteps;
  }
  if (const auto* op = std::get_if<Convolution>(&node.op))
    return op->steps.strides.size() <= targets::cuda::oracle::kSpace;
  if (const auto* op = std::get_if<Window>(&node.op))
    return op->kernel.size() <= targets::cuda::oracle::kSpace && op->monoid != Monoid::log_sum_exp;
  if (std::holds_alternative<TopK>(node.op)) return work_of(g, node) <= kMostSteps;
  return true;
}

class Run {
 public:
  Run(const Graph& graph, const device::Launcher& launcher)
      : graph_(graph), launcher_(launcher), values_(graph.values.size()), uses_(graph.values.size(), 0) {
    for (const Node& node : graph.nodes)
      for (const ValueId v : node.inputs) ++uses_[index(v)];
    for (const ValueId v : graph.outputs) ++uses_[index(v)];
  }

  void set(ValueId v, device::Array array) { values_[index(v)] = std::move(array); }

  void step(const Node& node) {
    device::Inputs inputs;
    device::Types types;
    for (const ValueId v : node.inputs) inputs.push_back(read(v));
    for (const ValueId v : node.outputs) types.push_back(graph_.type(v));
    try {
      device::Arrays results = std::visit(
          [&](const auto& op) -> device::Arrays {
            if constexpr (requires { device::run(op, inputs, types, launcher_); })
              return device::run(op, inputs, types, launcher_);
            else
              throw Error(ErrorCode::internal, "it has no kernel on a GPU");
          },
          node.op);
      for (std::size_t i = 0; i < results.size(); ++i) set(node.outputs[i], std::move(results[i]));
    } catch (const kiln::cuda::DriverError&) {
      throw;  // of the device, and not of the node
    } catch (const Error& error) {
      throw Error(error.code(), "cannot evaluate node " + node.origin + ": " + error.what());
    }
    for (const ValueId v : node.inputs)
      if (--uses_[index(v)] == 0) values_[index(v)].reset();
    for (const ValueId v : node.outputs)
      if (uses_[index(v)] == 0) values_[index(v)].reset();
  }

  [[nodiscard]] const device::Array& result(ValueId v) { return read(v); }

 private:
  static std::size_t index(ValueId v) { return static_cast<std::size_t>(v); }

  const device::Array& read(ValueId v) {
    std::optional<device::Array>& value = values_[index(v)];
    if (!value) value = device::uploaded(launcher_, graph_.type(v), graph_.constants[index(v)]->bytes);
    return *value;
  }

  const Graph& graph_;
  const device::Launcher& launcher_;
  std::vector<std::optional<device::Array>> values_;
  std::vector<int> uses_;  // at zero a value's memory is given back
};

}  // namespace

std::string uncovered_by_device(const Graph& graph) {
  for (const Node& node : graph.nodes)
    if (!is_covered(graph, node)) return std::string(kind_name(node.op)) + " " + node.origin;
  return {};
}

double evaluation_work(const Graph& graph) {
  double sum = 0;
  for (const Node& node : graph.nodes) sum += work_of(graph, node);
  return sum;
}

DeviceOracle::DeviceOracle(targets::cuda::Gpu& gpu, std::string_view cubin) : gpu_(gpu) {
  kiln::cuda::check(gpu.api(), gpu.api().cuModuleLoadData(&module_, cubin.data()), "load the oracle's kernels");
}

DeviceOracle::~DeviceOracle() { (void)gpu_.api().cuModuleUnload(module_); }  // ignoring: it ends with the context

device::Arrays device::evaluate(const Graph& graph, Inputs inputs, const Launcher& launcher) {
  validate(graph);
  if (inputs.size() != graph.inputs.size())
    throw Error(ErrorCode::invalid_input, "cannot evaluate the graph '" + graph.name + "': it takes " +
                                              std::to_string(graph.inputs.size()) + " inputs");
  Run run(graph, launcher);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].type != graph.type(graph.inputs[i]))
      throw Error(ErrorCode::invalid_input, "cannot evaluate the graph '" + graph.name + "': input " +
                                                std::to_string(i) + " has another type");
    run.set(graph.inputs[i], std::move(inputs[i]));
  }
  for (const Node& node : graph.nodes) run.step(node);
  Arrays results;
  for (const ValueId v : graph.outputs) results.push_back(run.result(v));
  return results;
}

std::vector<Tensor> DeviceOracle::evaluate(const Graph& graph, const std::vector<Tensor>& inputs,
                                           Arithmetic arithmetic) const {
  const device::Launcher launcher(gpu_, module_, arithmetic);
  device::Inputs given;
  for (const Tensor& input : inputs) given.push_back(device::uploaded(launcher, input.type, input.bytes));
  std::vector<Tensor> results;
  for (const device::Array& array : device::evaluate(graph, std::move(given), launcher))
    results.push_back(device::downloaded(launcher, array));
  return results;
}

}  // namespace kiln::worker
