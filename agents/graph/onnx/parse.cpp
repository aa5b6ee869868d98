#include "agents/graph/onnx/parse.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream.h>

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

// A file in parts, each announced as read when the part after it is asked for. The parser may look back into the last
// bytes of a part, never further.
class PartStream final : public google::protobuf::io::ZeroCopyInputStream {
 public:
  PartStream(std::span<const std::byte> bytes, const PartRead& part_read) : bytes_(bytes), part_read_(part_read) {}

  bool Next(const void** data, int* size) override {
    if (part_read_ && at_ >= told_ + 2 * kPart) {
      part_read_(bytes_.subspan(told_, kPart));
      told_ += kPart;
    }
    if (at_ == bytes_.size()) return false;
    const std::size_t count = std::min(kPart - at_ % kPart, bytes_.size() - at_);
    *data = bytes_.data() + at_;
    *size = static_cast<int>(count);
    at_ += count;
    return true;
  }
  void BackUp(int count) override { at_ -= static_cast<std::size_t>(count); }
  bool Skip(int count) override {
    const std::size_t skipped = std::min(static_cast<std::size_t>(count), bytes_.size() - at_);
    at_ += skipped;
    return skipped == static_cast<std::size_t>(count);
  }
  [[nodiscard]] std::int64_t ByteCount() const override { return static_cast<std::int64_t>(at_); }

 private:
  static constexpr std::size_t kPart = std::size_t{4} << 20;
  const std::span<const std::byte> bytes_;
  const PartRead& part_read_;
  std::size_t at_ = 0, told_ = 0;
};

}  // namespace

ModelRef parse_model(std::span<const std::byte> bytes, const std::string& file, const PartRead& part_read) {
  if (bytes.size() > INT_MAX) fail(ErrorCode::limit, file, "it is larger than 2 GiB", "export it with external data");
  auto model = std::make_shared<::onnx::ModelProto>();
  PartStream parts(bytes, part_read);
  google::protobuf::io::CodedInputStream stream(&parts);
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
