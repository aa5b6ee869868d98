#include "agents/graph/onnx/parse.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <climits>

#include "runtime/base/error.h"

namespace kiln::graph::onnx {
namespace {

[[noreturn]] void fail(ErrorCode code, const std::string& file, const std::string& cause, std::string remedy = {}) {
  throw Error(code, "cannot import '" + file + "': " + cause, std::move(remedy));
}

void check_opsets(const ::onnx::ModelProto& model, const std::string& file) {
  if (model.opset_import_size() == 0) fail(ErrorCode::invalid_input, file, "it names no operator set");
  for (const auto& opset : model.opset_import()) {
    const bool main = opset.domain().empty() || opset.domain() == "ai.onnx";
    if (main && (opset.version() < 6 || opset.version() > 26))
      fail(ErrorCode::unsupported, file, "operator set " + std::to_string(opset.version()) + " is outside 6 to 26",
           "convert the model to operator set 17");
  }
}

void check_sizes(const ::onnx::GraphProto& graph, const std::string& file) {
  if (graph.node_size() > kNodeLimit)
    fail(ErrorCode::limit, file, "it has more than " + std::to_string(kNodeLimit) + " nodes");
  if (graph.initializer_size() > kTensorLimit)
    fail(ErrorCode::limit, file, "it has more than " + std::to_string(kTensorLimit) + " initializers");
  if (graph.sparse_initializer_size() > 0) fail(ErrorCode::unsupported, file, "it has sparse initializers");
}

}  // namespace

ModelRef parse_model(std::span<const std::byte> bytes, const std::string& file) {
  if (bytes.size() > INT_MAX) fail(ErrorCode::limit, file, "it is larger than 2 GiB", "export it with external data");
  auto model = std::make_shared<::onnx::ModelProto>();
  google::protobuf::io::ArrayInputStream array(bytes.data(), static_cast<int>(bytes.size()));
  google::protobuf::io::CodedInputStream stream(&array);
  stream.SetTotalBytesLimit(INT_MAX);
  stream.SetRecursionLimit(kDepthLimit);
  if (!model->ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    fail(ErrorCode::invalid_input, file, "it is no ONNX model: the bytes do not parse, end early, or nest too deep");
  if (!model->has_graph()) fail(ErrorCode::invalid_input, file, "it is no ONNX model: it holds no graph");
  check_opsets(*model, file);
  check_sizes(model->graph(), file);
  if (model->functions_size() > 0)
    fail(ErrorCode::unsupported, file, "it defines functions of its own, such as '" + model->functions(0).name() + "'",
         "inline the functions before the import");
  return model;
}

std::vector<std::string> external_locations(std::span<const std::byte> bytes, const std::string& file_name) {
  const ModelRef model = parse_model(bytes, file_name);
  std::vector<std::string> locations;
  const auto note = [&](const ::onnx::TensorProto& tensor) {
    if (!is_external(tensor)) return;
    std::string location;
    try {
      location = external_location(tensor);
    } catch (const Error& error) {
      fail(error.code(), file_name, "tensor '" + tensor.name() + "': " + error.what());
    }
    if (std::find(locations.begin(), locations.end(), location) == locations.end())
      locations.push_back(std::move(location));
  };
  for (const auto& tensor : model->graph().initializer()) note(tensor);
  for (const auto& node : model->graph().node())
    for (const auto& attribute : node.attribute())
      if (attribute.has_t()) note(attribute.t());
  return locations;
}

}  // namespace kiln::graph::onnx
