// From untrusted bytes to a checked ModelProto, and from TensorProtos to constants. Private to agents/graph/onnx.
#pragma once

#include <onnx/onnx_pb.h>

#include <map>
#include <memory>
#include <string>

#include "agents/graph/onnx/import.h"
#include "runtime/base/error.h"

namespace kiln::graph::onnx {

// Limits on what is read; generous for real models, small beside what a hostile file could ask for.
inline constexpr int kDepthLimit = 64;
inline constexpr int kNodeLimit = 200'000;
inline constexpr int kTensorLimit = 100'000;
inline constexpr int kRankLimit = 16;
inline constexpr std::int64_t kMadeElements = std::int64_t(1) << 24;  // of one table that an operator makes

using ModelRef = std::shared_ptr<const ::onnx::ModelProto>;

// Parses and checks the outer structure: one graph, known opsets, no functions, no training information.
[[nodiscard]] ModelRef parse_model(std::span<const std::byte> bytes, const std::string& file,
                                   const PartRead& part_read = {});

[[nodiscard]] DType dtype_of(int onnx_type);  // throws Error(unsupported)

struct Loaded {
  TensorType type;
  Constant constant;
};
// `owner` keeps `tensor` alive. Raw data is shared with the parsed model, typed fields are converted.
[[nodiscard]] Loaded load_tensor(const ::onnx::TensorProto& tensor, const std::shared_ptr<const void>& owner,
                                 const ExternalDataSource& external);

// The location of external data, checked. Throws Error(invalid_input) for one that could leave the model's folder.
[[nodiscard]] std::string external_location(const ::onnx::TensorProto& tensor);
[[nodiscard]] bool is_external(const ::onnx::TensorProto& tensor);

}  // namespace kiln::graph::onnx
