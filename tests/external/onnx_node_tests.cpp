// Runs the ONNX project's own node tests against the importer and the interpreter.
//
//   onnx_node_tests FOLDER [NAME]
//
// A test whose operator, type or form Kiln refuses as unsupported is counted as skipped, under its operator. A test's inputs are
// bound as constants where import needs them (shapes, axes): static shapes are Kiln's own rule, not the suite's.
#include <onnx/onnx_pb.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>

#include "agents/graph/interpreter.h"
#include "agents/graph/onnx/import.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

using namespace kiln;
namespace fs = std::filesystem;

namespace {

constexpr double kRelative = 1e-3, kAbsolute = 1e-7;  // the suite's own
// This version of the suite cut floats off to make bfloat16, where the specification now rounds: one unit in the last place.
constexpr double kTruncated = 1.0 / 128;

struct Tally {
  int passed = 0, failed = 0, skipped = 0;
  std::string reason;
};

// Reading a TensorProto is not what is under test: an empty model that returns it as a constant does it.
graph::Tensor read_tensor(const ::onnx::TensorProto& proto) {
  ::onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  *model.mutable_graph()->add_initializer() = proto;
  model.mutable_graph()->mutable_initializer(0)->set_name("t");
  model.mutable_graph()->add_output()->set_name("t");
  const auto text = std::make_shared<const std::string>(model.SerializeAsString());
  const auto result = graph::onnx::import_model(text, std::as_bytes(std::span(text->data(), text->size())), {"tensor", {}}, {});
  return graph::evaluate(result.graph, {}, graph::Arithmetic::model)[0];
}

// The suite was written by NumPy, which has no bfloat16: such tensors lie there as uint16.
::onnx::TensorProto read_proto(const fs::path& path, int declared) {
  ::onnx::TensorProto proto;
  if (!proto.ParseFromString(read_file(path))) throw Error(ErrorCode::invalid_input, "cannot read " + path.string() + ": it is no tensor");
  if (declared == ::onnx::TensorProto::BFLOAT16 && proto.data_type() == ::onnx::TensorProto::UINT16) proto.set_data_type(declared);
  return proto;
}

bool is_close(const graph::Tensor& expected, const graph::Tensor& actual) {
  if (expected.type != actual.type) return false;
  for (std::int64_t i = 0; i < expected.count(); ++i) {
    const double want = graph::load_double(expected.type.dtype, expected.bytes.data(), i);
    const double got = graph::load_double(actual.type.dtype, actual.bytes.data(), i);
    const double relative = expected.type.dtype == graph::DType::bf16 ? kTruncated : kRelative;
    if (std::isnan(want) ? std::isnan(got) : (want == got || std::fabs(want - got) <= kAbsolute + relative * std::fabs(want))) continue;
    std::printf("    element %lld: expected %.9g, got %.9g\n", static_cast<long long>(i), want, got);
    return false;
  }
  return true;
}

graph::onnx::Result import(const ::onnx::ModelProto& model, const std::string& name) {
  const auto text = std::make_shared<const std::string>(model.SerializeAsString());
  return graph::onnx::import_model(text, std::as_bytes(std::span(text->data(), text->size())), {name, {}}, {});
}

// As given; or, when that is refused since something must be constant, with the integer inputs bound.
graph::onnx::Result import_bound(::onnx::ModelProto& model, const std::vector<::onnx::TensorProto>& inputs, const std::string& name) {
  try {
    return import(model, name);
  } catch (const Error& error) {
    const std::string text = error.what();
    if (error.code() != ErrorCode::unsupported || text.find("depends on the model's inputs") == std::string::npos) throw;
  }
  for (int i = 0; i < model.graph().input_size() && static_cast<std::size_t>(i) < inputs.size(); ++i) {
    const bool range = model.graph().node(0).op_type() == "Range";
    if (i == 0 && !range && model.graph().node(0).op_type() != "ConstantOfShape") continue;
    auto* bound = model.mutable_graph()->add_initializer();
    *bound = inputs[static_cast<std::size_t>(i)];
    bound->set_name(model.graph().input(i).name());
  }
  return import(model, name);
}

bool run_case(const fs::path& folder, const fs::path& data) {
  ::onnx::ModelProto model;
  if (!model.ParseFromString(read_file(folder / "model.onnx"))) throw Error(ErrorCode::invalid_input, "cannot read the model");
  std::vector<::onnx::TensorProto> protos;
  std::map<std::string, graph::Tensor> tensors;
  for (int i = 0; i < model.graph().input_size(); ++i) {
    const auto& input = model.graph().input(i);
    if (!input.type().has_tensor_type()) throw Error(ErrorCode::unsupported, "input '" + input.name() + "' is no tensor");
    protos.push_back(read_proto(data / ("input_" + std::to_string(i) + ".pb"), input.type().tensor_type().elem_type()));
    tensors[input.name()] = read_tensor(protos.back());
    // Some tests declare another shape than their data has; the data is what the expected output was made from.
    auto* declared = model.mutable_graph()->mutable_input(i)->mutable_type()->mutable_tensor_type()->mutable_shape();
    declared->clear_dim();
    for (const std::int64_t extent : protos.back().dims()) declared->add_dim()->set_dim_value(extent);
  }
  const auto result = import_bound(model, protos, folder.filename().string());
  std::vector<graph::Tensor> inputs;
  for (const graph::ValueId id : result.graph.inputs) inputs.push_back(tensors.at(result.graph.values[static_cast<std::size_t>(id)].name));
  const auto outputs = graph::evaluate(result.graph, inputs, graph::Arithmetic::model);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const graph::Tensor expected = read_tensor(read_proto(data / ("output_" + std::to_string(i) + ".pb"),
                                                           model.graph().output(static_cast<int>(i)).type().tensor_type().elem_type()));
    if (is_close(expected, outputs[i])) continue;
    std::printf("    output %zu: expected %s %s, got %s %s\n", i, std::string(graph::name(expected.type.dtype)).c_str(), graph::to_string(expected.type.shape).c_str(),
                std::string(graph::name(outputs[i].type.dtype)).c_str(), graph::to_string(outputs[i].type.shape).c_str());
    return false;
  }
  return true;
}

std::string operator_of(const fs::path& folder) {
  ::onnx::ModelProto model;
  if (!model.ParseFromString(read_file(folder / "model.onnx")) || model.graph().node_size() == 0) return "(none)";
  return model.graph().node_size() == 1 ? model.graph().node(0).op_type() : "(expanded)";
}

void run_test(const fs::path& folder, Tally& tally) {
  for (int set = 0; fs::exists(folder / ("test_data_set_" + std::to_string(set))); ++set) {
    try {
      const bool passed = run_case(folder, folder / ("test_data_set_" + std::to_string(set)));
      ++(passed ? tally.passed : tally.failed);
      if (!passed) std::printf("FAIL %s\n", folder.filename().c_str());
    } catch (const Error& error) {
      const bool refused = error.code() == ErrorCode::unsupported;
      ++(refused ? tally.skipped : tally.failed);
      if (refused) tally.reason = error.what();
      if (!refused) std::printf("FAIL %s: %s\n", folder.filename().c_str(), error.what());
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: onnx_node_tests FOLDER [NAME]\n"), 2;
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(argv[1]))
    if (argc < 3 || entry.path().filename() == argv[2]) folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  std::map<std::string, Tally> tallies;
  Tally all;
  for (const auto& folder : folders) run_test(folder, tallies[operator_of(folder)]);
  for (const auto& [type, tally] : tallies) {
    if (tally.passed + tally.failed > 0)
      std::printf("%-24s %3d passed %3d failed %3d skipped%s%s\n", type.c_str(), tally.passed, tally.failed, tally.skipped, tally.skipped > 0 ? ": " : "", tally.reason.c_str());
    all.passed += tally.passed;
    all.failed += tally.failed;
    all.skipped += tally.skipped;
  }
  std::printf("%d passed, %d failed, %d skipped\n", all.passed, all.failed, all.skipped);
  return all.failed > 0 || all.passed == 0 ? 1 : 0;
}
