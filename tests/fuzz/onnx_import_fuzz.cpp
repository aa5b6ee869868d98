// libFuzzer target: any bytes are a graph that validates, or an Error.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "agents/graph/onnx/import.h"
#include "runtime/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::make_shared<const std::vector<std::uint8_t>>(data, data + size);
  const kiln::graph::onnx::Options options{"fuzz.onnx", {{"batch", 2}}};
  try {
    const auto result = kiln::graph::onnx::import_model(bytes, std::as_bytes(std::span(*bytes)), options, {});
    kiln::graph::validate(result.graph);
  } catch (const kiln::Error& error) {
    // Our own bug is no answer to bad input.
    if (error.code() == kiln::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
