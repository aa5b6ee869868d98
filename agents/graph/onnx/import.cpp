#include "agents/graph/onnx/import.h"

#include <set>

#include "agents/graph/onnx/lowering.h"
#include "agents/graph/rewrite/rewrite.h"
#include "runtime/base/error.h"

namespace kiln::graph::onnx {
namespace {

[[noreturn]] void fail(ErrorCode code, const std::string& file, const std::string& cause, std::string remedy = {}) {
  throw Error(code, "cannot import '" + file + "': " + cause, std::move(remedy));
}

std::string origin_of(const ::onnx::NodeProto& node) {
  std::string text = node.name();
  if (text.empty() && node.output_size() > 0) text = node.output(0);
  if (text.empty()) text = "without a name";
  return text + " (" + node.op_type() + ")";
}

class Importer {
 public:
  Importer(ModelRef model, const Options& options, const ExternalDataSource& external) : options_(options) {
    state_.model = std::move(model);
    state_.external = &external;
    for (const auto& opset : state_.model->opset_import())
      if (opset.domain().empty() || opset.domain() == "ai.onnx") state_.opset = opset.version();
  }

  Result run() {
    const ::onnx::GraphProto& proto = state_.model->graph();
    state_.graph.name = proto.name().empty() ? "model" : proto.name();
    for (const auto& tensor : proto.initializer()) load_initializer(tensor);
    for (const auto& input : proto.input()) add_input(input);
    for (const auto& [name, extent] : options_.dimensions)
      if (!used_dimensions_.contains(name))
        fail(ErrorCode::invalid_input, options_.file_name, "no input has a dimension '" + name + "'");
    for (const auto& node : proto.node()) lower(node);
    std::vector<std::string> names;
    for (const auto& output : proto.output()) {
      const auto found = state_.names.find(output.name());
      if (found == state_.names.end())
        fail(ErrorCode::invalid_input, options_.file_name, "its output '" + output.name() + "' is never made");
      state_.graph.outputs.push_back(found->second);
      names.push_back(output.name());
    }
    if (names.empty()) fail(ErrorCode::invalid_input, options_.file_name, "it has no output");
    Result result{std::move(state_.graph), {}};
    if (state_.folded > 0)
      result.rewrites.push_back("fold_constants: " + std::to_string(state_.folded) +
                                " operations on constants and shapes");
    rewrite::simplify(result.graph, result.rewrites);
    rewrite::separate(result.graph, result.rewrites);
    rewrite::name_outputs(result.graph, names);
    validate(result.graph);
    return result;
  }

 private:
  void define(const std::string& name, ValueId id) {
    if (!state_.names.emplace(name, id).second)
      fail(ErrorCode::invalid_input, options_.file_name, "the value '" + name + "' is made twice");
  }

  void load_initializer(const ::onnx::TensorProto& tensor) {
    try {
      Loaded loaded = load_tensor(tensor, state_.model, *state_.external);
      const ValueId id = state_.graph.add_value(tensor.name(), loaded.type);
      state_.graph.constants.back() = std::move(loaded.constant);
      define(tensor.name(), id);
    } catch (const Error& error) {
      fail(error.code(), options_.file_name, "tensor '" + tensor.name() + "': " + error.what(), error.remedy());
    }
  }

  std::int64_t extent(const std::string& input, int index, const ::onnx::TensorShapeProto::Dimension& dimension) {
    if (dimension.has_dim_value()) {
      if (dimension.dim_value() >= 0) return dimension.dim_value();
      fail(ErrorCode::invalid_input, options_.file_name,
           "dimension " + std::to_string(index) + " of input '" + input + "' is negative");
    }
    // A dimension without a name is bound as INPUT.INDEX.
    const std::string name =
        dimension.dim_param().empty() ? input + "." + std::to_string(index) : dimension.dim_param();
    const auto bound = options_.dimensions.find(name);
    if (bound == options_.dimensions.end())
      fail(ErrorCode::invalid_input, options_.file_name,
           "dimension '" + name + "' of input '" + input + "' has no extent",
           "give it with --shape " + name + "=EXTENT");
    if (bound->second < 1)
      fail(ErrorCode::invalid_input, options_.file_name, "the extent of dimension '" + name + "' is not positive");
    used_dimensions_.insert(name);
    return bound->second;
  }

  void add_input(const ::onnx::ValueInfoProto& input) {
    if (state_.names.contains(input.name())) return;  // the default of an initializer, which is constant here
    if (!input.type().has_tensor_type() || !input.type().tensor_type().has_shape())
      fail(ErrorCode::unsupported, options_.file_name, "input '" + input.name() + "' is no tensor of known rank");
    const auto& declared = input.type().tensor_type();
    if (declared.shape().dim_size() > kRankLimit)
      fail(ErrorCode::limit, options_.file_name, "input '" + input.name() + "' has too many dimensions");
    TensorType type;
    for (int i = 0; i < declared.shape().dim_size(); ++i)
      type.shape.push_back(extent(input.name(), i, declared.shape().dim(i)));
    try {
      type.dtype = dtype_of(declared.elem_type());
      (void)element_count(type.shape);
    } catch (const Error& error) {
      fail(error.code(), options_.file_name, "input '" + input.name() + "': " + error.what());
    }
    define(input.name(), state_.graph.add_input(input.name(), type));
  }

  [[noreturn]] void fail_node(const ::onnx::NodeProto& node, ErrorCode code, const std::string& cause,
                              std::string remedy = {}) {
    throw Error(code, "cannot import node " + origin_of(node) + " of '" + options_.file_name + "': " + cause,
                std::move(remedy));
  }

  void lower(const ::onnx::NodeProto& node) {
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g() || attribute.graphs_size() > 0)
        fail_node(node, ErrorCode::unsupported, "it holds a subgraph");
      if (attribute.has_sparse_tensor() || attribute.sparse_tensors_size() > 0)
        fail_node(node, ErrorCode::unsupported, "it holds a sparse tensor");
    }
    const LowerFunction function = find_operator(node.domain(), node.op_type());
    if (function == nullptr) {
      const std::string domain = node.domain().empty() ? "" : node.domain() + ".";
      fail_node(node, ErrorCode::unsupported,
                "the operator " + domain + node.op_type() + " of operator set " + std::to_string(state_.opset) +
                    " is not supported");
    }
    Call call{state_, node, {}, origin_of(node)};
    for (const std::string& name : node.input()) {
      const auto found = state_.names.find(name);
      if (!name.empty() && found == state_.names.end())
        fail_node(node, ErrorCode::invalid_input, "its input '" + name + "' is made by no node before it");
      call.inputs.push_back(name.empty() ? -1 : found->second);
    }
    std::vector<ValueId> outputs;
    const auto before = static_cast<ValueId>(state_.graph.values.size());
    try {
      outputs = function(call);
    } catch (const Error& error) {
      fail_node(node, error.code(), error.what(), error.remedy());
    }
    name_results(node, outputs, before);
  }

  // A value that this node made, from id `before` on, takes the model's name for it; another keeps its own.
  void name_results(const ::onnx::NodeProto& node, const std::vector<ValueId>& outputs, ValueId before) {
    for (int i = 0; i < node.output_size(); ++i) {
      if (node.output(i).empty()) continue;
      if (static_cast<std::size_t>(i) >= outputs.size())
        fail_node(node, ErrorCode::unsupported, "its output " + std::to_string(i) + " is not computed");
      const ValueId id = outputs[static_cast<std::size_t>(i)];
      if (id >= before) state_.graph.values[static_cast<std::size_t>(id)].name = node.output(i);
      define(node.output(i), id);
    }
  }

  const Options& options_;
  Lowering state_;
  std::set<std::string> used_dimensions_;
};

}  // namespace

Result import_model(std::shared_ptr<const void> owner, std::span<const std::byte> model, const Options& options,
                    const ExternalDataSource& external) {
  ModelRef parsed = parse_model(model, options.file_name, options.part_read);
  // Weights are windows of the parsed model, which their constants keep alive; the file's own bytes are done with.
  owner.reset();
  return Importer(std::move(parsed), options, external).run();
}

}  // namespace kiln::graph::onnx
