// Kernels to time, from their names on a command line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agents/region/kernel.h"

namespace kiln::bench {

struct Workload {
  agents::Kernel kernel;
  std::vector<std::int64_t> inputs, outputs;  // elements
  std::vector<graph::DType> types = {};       // of the inputs; f32 where there is none
};

// matmul:MxNxK[:epilogue]   epilogue none | bias | gelu, or bf16 | int8: of bf16 to bf16, of u8 and i8 to i32
// softmax:ROWSxLENGTH   layernorm:ROWSxLENGTH   attention:HEADSxSxTxD   gelu:COUNT
// conv:NxCxHxW:MxKxSTRIDE[xGROUPS]   deconv: the same, transposed
// Ends the program with a message for anything else.
[[nodiscard]] Workload workload_of(const std::string& shape);

}  // namespace kiln::bench
