// Judges the importer and the interpreter by the ONNX project's own backend tests (Debian's libonnx-testdata).
//
//   onnx_node_tests FOLDER [--at-least N] [--only NAME]
//
// A test is refused when Kiln says that its operator, type or form is unsupported, and supported otherwise. Every
// supported test must pass, in the model's own arithmetic and on the FP64 oracle, and at least N must be supported: the
// exit status is 1 when not. Inputs that make a shape are bound as constants: static shapes are Kiln's own rule.
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "agents/graph/interpreter.h"
#include "agents/graph/onnx/import.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

using namespace kiln;
namespace fs = std::filesystem;

namespace {

constexpr double kRelative = 1e-3, kAbsolute = 1e-7;  // the suite's own
// This version of the suite cut floats off to make bfloat16, where the specification now rounds: one unit in the last
// place.
constexpr double kTruncated = 1.0 / 128;

struct Tally {
  int passed = 0, failed = 0, refused = 0;
  std::string cause;  // of one refusal
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
  const auto result =
      graph::onnx::import_model(text, std::as_bytes(std::span(text->data(), text->size())), {"tensor", {}}, {});
  return graph::evaluate(result.graph, {}, graph::Arithmetic::model)[0];
}

// The suite was written by NumPy, which has no bfloat16: such tensors lie there as uint16.
::onnx::TensorProto read_proto(const fs::path& path, int declared) {
  ::onnx::TensorProto proto;
  if (!proto.ParseFromString(read_file(path)))
    throw Error(ErrorCode::invalid_input, "cannot read " + path.string() + ": it is no tensor");
  if (declared == ::onnx::TensorProto::BFLOAT16 && proto.data_type() == ::onnx::TensorProto::UINT16)
    proto.set_data_type(declared);
  return proto;
}

// `relative` is the suite's tolerance or, where rounding to a narrow type is part of the test, one unit in its last
// place.
bool is_close(const graph::Tensor& expected, const graph::Tensor& actual, double relative, double absolute) {
  if (expected.type.shape != actual.type.shape) return false;
  for (std::int64_t i = 0; i < expected.count(); ++i) {
    const double want = graph::load_double(expected.type.dtype, expected.bytes.data(), i);
    const double got = graph::load_double(actual.type.dtype, actual.bytes.data(), i);
    if (std::isnan(want) ? std::isnan(got)
                         : (want == got || std::fabs(want - got) <= absolute + relative * std::fabs(want)))
      continue;
    std::printf("    element %lld: expected %.9g, got %.9g\n", static_cast<long long>(i), want, got);
    return false;
  }
  return true;
}

// What of the expected values is owed to rounding that the oracle does not do: to bfloat16, and to float32 before a
// number is rounded to an integer, which decides ties.
struct Rounding {
  bool to_bfloat16 = false, to_integer = false;
};

Rounding rounding_of(const graph::Graph& g) {
  Rounding out;
  for (const graph::Value& value : g.values) out.to_bfloat16 |= value.type.dtype == graph::DType::bf16;
  for (const graph::Node& node : g.nodes)
    if (const auto* op = std::get_if<graph::Pointwise>(&node.op))
      for (const graph::ExprNode& item : op->expr.nodes) out.to_integer |= item.op == graph::ExprOp::round;
  return out;
}

bool agrees(const graph::Tensor& expected, const graph::Tensor& model, const graph::Tensor& oracle, Rounding rounding) {
  if (expected.type.dtype != model.type.dtype) {
    std::printf("    expected %s, got %s\n", std::string(graph::name(expected.type.dtype)).c_str(),
                std::string(graph::name(model.type.dtype)).c_str());
    return false;
  }
  const double relative = expected.type.dtype == graph::DType::bf16 ? kTruncated : kRelative;
  const double tie = rounding.to_integer && graph::is_integer(expected.type.dtype) ? 1 : kAbsolute;
  return is_close(expected, model, relative, kAbsolute) &&
         is_close(expected, oracle, rounding.to_bfloat16 ? kTruncated : relative, tie);
}

graph::onnx::Result import(const ::onnx::ModelProto& model, const std::string& name) {
  const auto text = std::make_shared<const std::string>(model.SerializeAsString());
  return graph::onnx::import_model(text, std::as_bytes(std::span(text->data(), text->size())), {name, {}}, {});
}

// As given; or, when that is refused since something must be constant, with the integer inputs bound.
graph::onnx::Result import_bound(::onnx::ModelProto& model, const std::vector<::onnx::TensorProto>& inputs,
                                 const std::string& name) {
  try {
    return import(model, name);
  } catch (const Error& error) {
    const std::string text = error.what();
    if (error.code() != ErrorCode::unsupported || text.find("depends on the model's inputs") == std::string::npos)
      throw;
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
  if (!model.ParseFromString(read_file(folder / "model.onnx")))
    throw Error(ErrorCode::invalid_input, "cannot read the model");
  std::vector<::onnx::TensorProto> protos;
  std::map<std::string, graph::Tensor> tensors;
  std::set<std::string> initialised;  // old models list their weights among the inputs
  for (const auto& tensor : model.graph().initializer()) initialised.insert(tensor.name());
  for (int i = 0; i < model.graph().input_size(); ++i) {
    const auto& input = model.graph().input(i);
    if (initialised.contains(input.name())) continue;
    if (!input.type().has_tensor_type())
      throw Error(ErrorCode::unsupported, "input '" + input.name() + "' is no tensor");
    protos.push_back(
        read_proto(data / ("input_" + std::to_string(protos.size()) + ".pb"), input.type().tensor_type().elem_type()));
    tensors[input.name()] = read_tensor(protos.back());
    // Some tests declare another shape than their data has; the data is what the expected output was made from.
    auto* declared = model.mutable_graph()->mutable_input(i)->mutable_type()->mutable_tensor_type()->mutable_shape();
    declared->clear_dim();
    for (const std::int64_t extent : protos.back().dims()) declared->add_dim()->set_dim_value(extent);
  }
  const auto result = import_bound(model, protos, folder.filename().string());
  std::vector<graph::Tensor> inputs;
  for (const graph::ValueId id : result.graph.inputs)
    inputs.push_back(tensors.at(result.graph.values[static_cast<std::size_t>(id)].name));
  const auto model_outputs = graph::evaluate(result.graph, inputs, graph::Arithmetic::model);
  const auto oracle_outputs = graph::evaluate(result.graph, inputs, graph::Arithmetic::fp64, 2);
  for (std::size_t i = 0; i < model_outputs.size(); ++i) {
    const int declared = model.graph().output(static_cast<int>(i)).type().tensor_type().elem_type();
    const graph::Tensor expected = read_tensor(read_proto(data / ("output_" + std::to_string(i) + ".pb"), declared));
    if (agrees(expected, model_outputs[i], oracle_outputs[i], rounding_of(result.graph))) continue;
    std::printf("    output %zu: expected %s, got %s\n", i, graph::to_string(expected.type.shape).c_str(),
                graph::to_string(model_outputs[i].type.shape).c_str());
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
      ++(refused ? tally.refused : tally.failed);
      if (refused) tally.cause = error.what();
      if (!refused) std::printf("FAIL %s: %s\n", folder.filename().c_str(), error.what());
    }
  }
}

void print(const std::string& name, const Tally& tally) {
  std::printf("%-28s %4d supported %4d passed %4d refused%s%s\n", name.c_str(), tally.passed + tally.failed,
              tally.passed, tally.refused, tally.cause.empty() ? "" : ": ", tally.cause.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  int at_least = 1;
  std::string only;
  for (int i = 2; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--at-least") == 0) at_least = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--only") == 0) only = argv[i + 1];
  }
  if (argc < 2 || argc % 2 != 0)
    return std::fprintf(stderr, "usage: onnx_node_tests FOLDER [--at-least N] [--only NAME]\n"), 2;
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(argv[1]))
    if (only.empty() || entry.path().filename() == only) folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  std::map<std::string, Tally> tallies;
  Tally all;
  for (const auto& folder : folders) run_test(folder, tallies[operator_of(folder)]);
  for (const auto& [type, tally] : tallies) {
    print(type, tally);
    all.passed += tally.passed;
    all.failed += tally.failed;
    all.refused += tally.refused;
  }
  print("all", all);
  const int supported = all.passed + all.failed;
  if (supported < at_least) std::printf("FAIL: %d tests are supported where there were %d\n", supported, at_least);
  return all.failed > 0 || supported < at_least ? 1 : 0;
}
