#include "daemon/worker/inside/evaluator.h"

#include <utility>

namespace kiln::worker {

std::string Evaluator::wants_kernels_for(const graph::Graph& graph) {
  if (!cubin_.empty() || !is_for_device(graph)) return {};
  return gpu_->get().description().architecture;
}

void Evaluator::take_kernels(std::string cubin) {
  cubin_ = std::move(cubin);
  device_ = std::make_unique<DeviceOracle>(gpu_->get(), cubin_);
}

bool Evaluator::is_for_device(const graph::Graph& graph) {
  if (!gpu_ || evaluation_work(graph) < least_device_work_) return false;
  const std::string uncovered = uncovered_by_device(graph);
  if (!uncovered.empty()) who_ = "interpreter, since the GPU has no kernel for " + uncovered;
  return uncovered.empty();
}

std::vector<graph::Tensor> Evaluator::evaluate(const graph::Graph& graph, const std::vector<graph::Tensor>& inputs,
                                               graph::Arithmetic arithmetic) {
  if (device_ && is_for_device(graph)) {
    try {
      std::vector<graph::Tensor> out = device_->evaluate(graph, inputs, arithmetic);
      who_ = "GPU";
      return out;
    } catch (const kiln::cuda::DriverError& error) {
      who_ = std::string("interpreter, since the GPU could not: ") + error.what();
    }
  }
  if (who_.empty()) who_ = "interpreter";
  return graph::evaluate(graph, inputs, arithmetic, threads_);
}

std::string Evaluator::told() { return std::exchange(who_, {}); }

}  // namespace kiln::worker
