// The oracle of agents/graph/interpreter on a GPU, for graphs that take a CPU too long: the same kinds of nodes,
// carriers and order, one thread for one element (daemon/targets/cuda/oracle). It differs from the interpreter in one
// thing: a sum over more than 4096 elements is one of sums over 4096 each, so that many threads have work, and so that
// a plain float32 evaluation of a hundred million elements means something.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agents/graph/interpreter.h"
#include "daemon/targets/cuda/device.h"

namespace kiln::worker {

// What of a graph has no kernel here, for people: "recurrent /lstm (LSTM)"; empty: nothing.
[[nodiscard]] std::string uncovered_by_device(const graph::Graph& graph);

// Operations of an evaluation, roughly: what decides whether a device is worth its start.
[[nodiscard]] double evaluation_work(const graph::Graph& graph);

class DeviceOracle {
 public:
  // `cubin`: targets::cuda::oracle::kernels_source() compiled. Throws DriverError.
  DeviceOracle(targets::cuda::Gpu& gpu, std::string_view cubin);
  ~DeviceOracle();
  DeviceOracle(const DeviceOracle&) = delete;
  DeviceOracle& operator=(const DeviceOracle&) = delete;

  // As graph::evaluate, for a graph that is covered. Throws DriverError beside its errors, also when
  // the device has not the memory.
  [[nodiscard]] std::vector<graph::Tensor> evaluate(const graph::Graph& graph, const std::vector<graph::Tensor>& inputs,
                                                    graph::Arithmetic arithmetic) const;

  [[nodiscard]] targets::cuda::Gpu& gpu() const { return gpu_; }
  [[nodiscard]] kiln::cuda::Module module() const { return module_; }

 private:
  targets::cuda::Gpu& gpu_;
  kiln::cuda::Module module_ = nullptr;
};

}  // namespace kiln::worker
