// Who evaluates a graph in the oracle's process: the interpreter, or the GPU's kernels of the same definitions where
// the process has a GPU, a graph is worth it, and every kind of its nodes has a kernel.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agents/graph/interpreter.h"
#include "daemon/worker/device_oracle/device_oracle.h"
#include "daemon/worker/inside/gpu_role.h"

namespace kiln::worker {

class Evaluator {
 public:
  // Without a GPU.
  explicit Evaluator(int threads) : threads_(threads) {}
  // With a GPU, by the driver's count, for graphs of at least `least_device_work` operations.
  Evaluator(int threads, double least_device_work, std::int32_t ordinal)
      : threads_(threads), least_device_work_(least_device_work), gpu_(std::make_unique<LazyGpu>(ordinal)) {}

  [[nodiscard]] int threads() const { return threads_; }
  // The architecture that kernels are wanted for; empty: none are.
  [[nodiscard]] std::string wants_kernels_for(const graph::Graph& graph);
  void take_kernels(std::string cubin);
  // The GPU, where it evaluates this graph; null: the interpreter does.
  [[nodiscard]] const DeviceOracle* device_for(const graph::Graph& graph) const;

  // As graph::evaluate. What the device cannot do, for want of memory or for a fault, the interpreter does.
  [[nodiscard]] std::vector<graph::Tensor> evaluate(const graph::Graph& graph, const std::vector<graph::Tensor>& inputs,
                                                    graph::Arithmetic arithmetic);
  // Who it was, since the last call of this: "interpreter", "GPU", or "interpreter, since ...".
  [[nodiscard]] std::string told();

 private:
  [[nodiscard]] bool is_worth_device(const graph::Graph& graph) const;
  // Nothing where the device cannot; who_ then says why.
  [[nodiscard]] std::optional<std::vector<graph::Tensor>> evaluate_on_device(const graph::Graph& graph,
                                                                             const std::vector<graph::Tensor>& inputs,
                                                                             graph::Arithmetic arithmetic);

  const int threads_;
  const double least_device_work_ = 0;
  std::unique_ptr<LazyGpu> gpu_;  // null: none
  std::string cubin_;
  std::unique_ptr<DeviceOracle> device_;
  std::string who_;
};

}  // namespace kiln::worker
