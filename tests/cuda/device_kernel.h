// A kernel of the corpus rendered for a GPU, executed on this CPU through tests/simt.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agents/graph/types.h"
#include "agents/writer/writer.h"
#include "tests/simt/block.h"

namespace kiln::testing {

// Every template of the source tree for target cuda.
[[nodiscard]] const std::vector<store::TemplateSpec>& device_templates();
// Whether one of them takes the kernel.
[[nodiscard]] bool device_buildable(const agents::Kernel& kernel);
// A node with a GPU like an H200, whose numbers decide geometry; nothing is asked of a real one.
[[nodiscard]] agents::NodeFacts device_node(const std::string& architecture, std::int32_t multiprocessors = 132);

class EmulatedKernel {
 public:
  explicit EmulatedKernel(
      const agents::RenderedKernel& kernel);  // compiles; throws std::runtime_error with the source
  ~EmulatedKernel();
  EmulatedKernel(const EmulatedKernel&) = delete;
  EmulatedKernel& operator=(const EmulatedKernel&) = delete;

  // Runs the launches. Outputs come back poisoned where nothing was written; throws std::runtime_error when a byte
  // outside an output was. A read outside a buffer ends the program: behind it with Order::forward, before it with
  // backward.
  [[nodiscard]] std::vector<graph::Tensor> run(const std::vector<graph::Tensor>& inputs,
                                               const std::vector<graph::TensorType>& outputs,
                                               simt::Order order) const;

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace kiln::testing
