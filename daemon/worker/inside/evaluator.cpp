#include "daemon/worker/inside/evaluator.h"

#include <utility>

namespace kiln::worker {

std::string Evaluator::wants_kernels_for(const graph::Graph& graph) {
  if (!cubin_.empty() || !is_worth_device(graph) || !uncovered_by_device(graph).empty()) return {};
  return gpu_->get().description().architecture;
}

void Evaluator::take_kernels(std::string cubin) {
  cubin_ = std::move(cubin);
  device_ = std::make_unique<DeviceOracle>(gpu_->get(), cubin_);
}

const DeviceOracle* Evaluator::device_for(const graph::Graph& graph) const {
  return is_worth_device(graph) && uncovered_by_device(graph).empty() ? device_.get() : nullptr;
}

bool Evaluator::is_worth_device(const graph::Graph& graph) const {
  return gpu_ && evaluation_work(graph) >= least_device_work_;
}

std::optional<std::vector<graph::Tensor>> Evaluator::evaluate_on_device(const graph::Graph& graph,
                                                                        const std::vector<graph::Tensor>& inputs,
                                                                        graph::Arithmetic arithmetic) {
  if (!is_worth_device(graph)) return std::nullopt;
  if (const std::string uncovered = uncovered_by_device(graph); !uncovered.empty()) {
    who_ = "interpreter, since the GPU has no kernel for " + uncovered;
    return std::nullopt;
  }
  if (!device_) return std::nullopt;
  try {
    std::vector<graph::Tensor> out = device_->evaluate(graph, inputs, arithmetic);
    who_ = "GPU";
    return out;
  } catch (const kiln::cuda::DriverError& error) {
    who_ = std::string("interpreter, since the GPU could not: ") + error.what();
    return std::nullopt;
  }
}

std::vector<graph::Tensor> Evaluator::evaluate(const graph::Graph& graph, const std::vector<graph::Tensor>& inputs,
                                               graph::Arithmetic arithmetic) {
  if (auto out = evaluate_on_device(graph, inputs, arithmetic)) return std::move(*out);
  if (who_.empty()) who_ = "interpreter";
  return graph::evaluate(graph, inputs, arithmetic, threads_);
}

std::string Evaluator::told() { return std::exchange(who_, {}); }

}  // namespace kiln::worker
