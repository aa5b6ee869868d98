// ONNX's own test models with hostile numbers put into their attributes, shapes and constants, and with bytes changed:
// each must be refused with an Error that is not Kiln's own fault, or import as a valid graph.
//
//   onnx_mutations FOLDER [PER_MODEL]
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <random>

#include "agents/graph/onnx/import.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

using namespace kiln;
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kHostile[] = {
    -1, 0, 1, 2, 3, 255, -256, 65536, INT32_MAX, INT32_MIN, std::int64_t(1) << 40, INT64_MAX, INT64_MIN, INT64_MAX - 1};

class Mutator {
 public:
  explicit Mutator(std::uint32_t seed) : engine_(seed) {}

  std::size_t below(std::size_t n) { return engine_() % n; }
  std::int64_t integer() { return kHostile[below(std::size(kHostile))]; }
  float real() {
    const float values[] = {0,
                            -0.0f,
                            -1,
                            1e-38f,
                            1e38f,
                            0.5f,
                            std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()};
    return values[below(std::size(values))];
  }

  void change(::onnx::AttributeProto& attribute) {
    if (attribute.has_i()) attribute.set_i(integer());
    if (attribute.has_f()) attribute.set_f(real());
    if (attribute.has_s()) attribute.set_s(std::string(below(4), '.'));
    if (attribute.ints_size() > 0)
      attribute.set_ints(static_cast<int>(below(static_cast<std::size_t>(attribute.ints_size()))), integer());
    if (attribute.floats_size() > 0)
      attribute.set_floats(static_cast<int>(below(static_cast<std::size_t>(attribute.floats_size()))), real());
    if (below(4) == 0) attribute.add_ints(integer());
    if (below(16) == 0) attribute.set_type(static_cast<::onnx::AttributeProto::AttributeType>(1 + below(10)));
  }

  // One element of the data, or one extent of a constant.
  void change(::onnx::TensorProto& tensor) {
    if (below(3) == 0 && tensor.dims_size() > 0) {
      tensor.set_dims(static_cast<int>(below(static_cast<std::size_t>(tensor.dims_size()))), integer());
    } else if (below(8) == 0) {
      tensor.set_data_type(static_cast<int>(below(30)));
    } else if (tensor.raw_data().size() >= 8) {
      std::string raw = tensor.raw_data();
      const std::int64_t value = integer();
      const std::size_t at = below(raw.size() / 8) * 8;
      for (std::size_t b = 0; b < 8; ++b) raw[at + b] = static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * b));
      tensor.set_raw_data(raw);
    } else if (tensor.raw_data().size() == 4) {
      tensor.set_raw_data(std::string(4, static_cast<char>(integer())));
    }
  }

  void change(::onnx::ValueInfoProto& value) {
    auto* shape = value.mutable_type()->mutable_tensor_type()->mutable_shape();
    if (shape->dim_size() > 0 && below(2) == 0) {
      shape->mutable_dim(static_cast<int>(below(static_cast<std::size_t>(shape->dim_size()))))
          ->set_dim_value(integer());
    } else if (below(2) == 0) {
      shape->add_dim()->set_dim_value(integer());
    } else {
      value.mutable_type()->mutable_tensor_type()->set_elem_type(static_cast<int>(below(24)));
    }
  }

  void change(::onnx::ModelProto& model) {
    auto& graph = *model.mutable_graph();
    auto& node = *graph.mutable_node(static_cast<int>(below(static_cast<std::size_t>(graph.node_size()))));
    switch (below(5)) {
      case 0:
        if (graph.input_size() > 0)
          change(*graph.mutable_input(static_cast<int>(below(static_cast<std::size_t>(graph.input_size())))));
        break;
      case 1:
        if (graph.initializer_size() > 0)
          change(
              *graph.mutable_initializer(static_cast<int>(below(static_cast<std::size_t>(graph.initializer_size())))));
        break;
      case 2:
        if (node.input_size() > 0)
          node.set_input(static_cast<int>(below(static_cast<std::size_t>(node.input_size()))),
                         below(2) == 0 ? "" : node.input(0));
        break;
      default:
        if (node.attribute_size() > 0)
          change(*node.mutable_attribute(static_cast<int>(below(static_cast<std::size_t>(node.attribute_size())))));
    }
  }

  std::string changed(std::string bytes) {
    if (below(6) == 0) bytes.resize(below(bytes.size()));
    for (std::size_t i = 0; i < 3 && !bytes.empty(); ++i) bytes[below(bytes.size())] = static_cast<char>(engine_());
    return bytes;
  }

 private:
  std::mt19937 engine_;
};

// Every input after the first, and any of a model that makes a shape of its first, is bound to the test's data.
void bind_inputs(::onnx::ModelProto& model, const fs::path& data) {
  for (int i = 0; i < model.graph().input_size(); ++i) {
    const fs::path file = data / ("input_" + std::to_string(i) + ".pb");
    ::onnx::TensorProto tensor;
    if (i == 0 || !fs::exists(file) || !tensor.ParseFromString(read_file(file))) continue;
    tensor.set_name(model.graph().input(i).name());
    *model.mutable_graph()->add_initializer() = tensor;
  }
}

// 0: imported, 1: refused, 2: Kiln's own error.
int outcome(const std::string& text) {
  const auto owner = std::make_shared<const std::string>(text);
  try {
    const auto result =
        graph::onnx::import_model(owner, std::as_bytes(std::span(owner->data(), owner->size())), {"mutated", {}}, {});
    graph::validate(result.graph);
    return 0;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::internal) return 1;
    std::printf("  %s\n", error.what());
    return 2;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: onnx_mutations FOLDER [PER_MODEL]\n"), 2;
  const int per_model = argc > 2 ? std::atoi(argv[2]) : 12;
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(argv[1])) folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  std::size_t counts[3] = {};
  for (std::size_t f = 0; f < folders.size(); ++f) {
    ::onnx::ModelProto model;
    if (!model.ParseFromString(read_file(folders[f] / "model.onnx")) || model.graph().node_size() == 0) continue;
    bind_inputs(model, folders[f] / "test_data_set_0");
    for (int i = 0; i < per_model; ++i) {
      Mutator mutator(static_cast<std::uint32_t>(f * 1000 + static_cast<std::size_t>(i)));
      ::onnx::ModelProto changed = model;
      for (std::size_t n = 1 + mutator.below(2); n-- > 0;) mutator.change(changed);
      std::string text = changed.SerializeAsString();
      if (i % 4 == 3) text = mutator.changed(std::move(text));
      const int result = outcome(text);
      ++counts[result];
      if (result == 2) std::printf("FAIL %s, mutation %d\n", folders[f].filename().c_str(), i);
    }
  }
  std::printf("%zu imported, %zu refused, %zu failed\n", counts[0], counts[1], counts[2]);
  return counts[2] > 0 || counts[0] == 0 || counts[1] == 0 ? 1 : 0;
}
