#include "agents/graph/serialize.h"

#include <bit>
#include <charconv>
#include <cstring>
#include <map>

#include "runtime/base/digest.h"

namespace kiln::graph {
namespace {

constexpr std::int64_t kAlignment = 64;
constexpr std::string_view kFormat = "kiln-graph/1";

std::int64_t aligned(std::int64_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

[[noreturn]] void fail(const std::string& cause) { throw Error(ErrorCode::invalid_input, "cannot read the graph: " + cause); }

// JSON has no Inf and NaN, and a decimal that a reader rounds would be another expression: floats are 16 hex digits.
std::string bits_text(double value) {
  char text[17];
  (void)std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(std::bit_cast<std::uint64_t>(value)));
  return text;
}

double bits_value(std::string_view text) {
  std::uint64_t bits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
  if (error != std::errc() || end != text.data() + text.size() || text.size() != 16) fail("a float is not 16 hexadecimal digits");
  return std::bit_cast<double>(bits);
}

std::int32_t narrow(std::int64_t value) {
  if (value < INT32_MIN || value > INT32_MAX) fail("the index " + std::to_string(value) + " does not fit in 32 bits");
  return static_cast<std::int32_t>(value);
}

std::vector<std::int32_t> get_indices(const json::object& o, std::string_view key) {
  std::vector<std::int32_t> out;
  for (const std::int64_t value : json::get_ints(o, key, "the graph")) out.push_back(narrow(value));
  return out;
}

std::int32_t get_index(const json::object& o, std::string_view key) { return narrow(json::get_int(o, key, "the graph")); }
bool get_flag(const json::object& o, std::string_view key) { return json::get_bool(o, key, "the graph"); }
double get_float(const json::object& o, std::string_view key) { return bits_value(json::get_string(o, key, "the graph")); }

constexpr std::array<std::string_view, 5> kMonoids = {"sum", "mean", "max", "min", "prod"};

Monoid monoid_from_name(const std::string& text) {
  for (std::size_t i = 0; i < kMonoids.size(); ++i)
    if (kMonoids[i] == text) return static_cast<Monoid>(i);
  fail("there is no reduction '" + text + "'");
}

json::object members(const Pointwise& op) { return {{"expr", to_json(op.expr)}}; }
json::object members(const Reduce& op) {
  return {{"monoid", kMonoids[static_cast<std::size_t>(op.monoid)]}, {"axes", json::to_array(op.axes)}, {"keep_dims", op.keep_dims}};
}
json::object members(const Softmax& op) { return {{"axis", op.axis}, {"log", op.log}}; }
json::object members(const LayerNorm& op) { return {{"axis", op.axis}, {"epsilon", bits_text(op.epsilon)}}; }
json::object members(const MatMul& op) { return {{"transpose_a", op.transpose_a}, {"transpose_b", op.transpose_b}}; }
json::object members(const Attention& op) { return {{"scale", bits_text(op.scale)}, {"causal", op.causal}}; }
json::object members(const Gather& op) { return {{"axis", op.axis}}; }
json::object members(const Reshape& op) { return {{"shape", json::to_array(op.shape)}}; }
json::object members(const Transpose& op) { return {{"permutation", json::to_array(op.permutation)}}; }
json::object members(const Slice& op) {
  return {{"starts", json::to_array(op.starts)}, {"extents", json::to_array(op.extents)}, {"steps", json::to_array(op.steps)}};
}
json::object members(const Concat& op) { return {{"axis", op.axis}}; }
json::object members(const Expand& op) { return {{"shape", json::to_array(op.shape)}}; }

Op op_from_json(const json::object& o) {
  const std::string kind = json::get_string(o, "kind", "a node");
  const auto ints = [&](std::string_view key) { return json::get_ints(o, key, "the graph"); };
  if (kind == "pointwise") return Pointwise{expr_from_json(json::at(o, "expr", "a node"))};
  if (kind == "reduce") return Reduce{monoid_from_name(json::get_string(o, "monoid", "a node")), get_indices(o, "axes"), get_flag(o, "keep_dims")};
  if (kind == "softmax") return Softmax{get_index(o, "axis"), get_flag(o, "log")};
  if (kind == "layer_norm") return LayerNorm{get_index(o, "axis"), get_float(o, "epsilon")};
  if (kind == "matmul") return MatMul{get_flag(o, "transpose_a"), get_flag(o, "transpose_b")};
  if (kind == "attention") return Attention{get_float(o, "scale"), get_flag(o, "causal")};
  if (kind == "gather") return Gather{get_index(o, "axis")};
  if (kind == "reshape") return Reshape{ints("shape")};
  if (kind == "transpose") return Transpose{get_indices(o, "permutation")};
  if (kind == "slice") return Slice{ints("starts"), ints("extents"), ints("steps")};
  if (kind == "concat") return Concat{get_index(o, "axis")};
  if (kind == "expand") return Expand{ints("shape")};
  fail("there is no kind of node '" + kind + "'");
}

void read_value(Graph& graph, const json::object& o, const std::shared_ptr<const void>& owner, std::span<const std::byte> blob) {
  const DType dtype = dtype_from_name(json::get_string(o, "dtype", "a value"));
  const ValueId id = graph.add_value(json::get_string(o, "name", "a value"), {dtype, json::get_ints(o, "shape", "a value")});
  const std::int64_t elements = element_count(graph.type(id).shape);
  const auto offset = json::find_int(o, "constant", "a value");
  if (!offset) return;
  const std::int64_t bytes = elements * static_cast<std::int64_t>(size_of(dtype));
  const auto size = static_cast<std::int64_t>(blob.size());
  if (*offset < 0 || *offset % kAlignment != 0 || *offset > size || bytes > size - *offset)
    fail("the constant '" + graph.values.back().name + "' lies outside the " + std::to_string(size) + " bytes of constants");
  graph.constants.back() = Constant{owner, blob.subspan(static_cast<std::size_t>(*offset), static_cast<std::size_t>(bytes))};
}

ExprNode expr_node(const json::object& o) {
  ExprNode node;
  node.op = expr_op_from_name(json::get_string(o, "op", "an expression"));
  node.type = dtype_from_name(json::get_string(o, "type", "an expression"));
  if (node.op == ExprOp::operand) node.operand = get_index(o, "operand");
  if (node.op == ExprOp::constant) {
    if (is_integer(node.type)) {
      node.integer = json::get_int(o, "integer", "an expression");
    } else {
      node.value = bits_value(json::get_string(o, "bits", "an expression"));
    }
  }
  if (arity(node.op) == 0) return node;
  const auto args = get_indices(o, "args");
  if (args.size() != static_cast<std::size_t>(arity(node.op))) fail("'" + std::string(name(node.op)) + "' has another number of arguments");
  std::copy(args.begin(), args.end(), node.args.begin());
  return node;
}

}  // namespace

ConstantLayout layout_constants(const Graph& graph) {
  ConstantLayout layout;
  layout.offsets.assign(graph.values.size(), -1);
  std::map<std::string, std::int64_t> placed;
  for (std::size_t i = 0; i < graph.constants.size(); ++i) {
    if (!graph.constants[i]) continue;
    const auto bytes = graph.constants[i]->bytes;
    const auto [entry, fresh] = placed.try_emplace(sha256_hex(bytes), aligned(layout.total_bytes));
    layout.offsets[i] = entry->second;
    if (fresh) layout.total_bytes = entry->second + static_cast<std::int64_t>(bytes.size());
  }
  return layout;
}

std::string constant_blob(const Graph& graph, const ConstantLayout& layout) {
  std::string blob(static_cast<std::size_t>(layout.total_bytes), '\0');
  for (std::size_t i = 0; i < graph.constants.size(); ++i) {
    if (!graph.constants[i] || graph.constants[i]->bytes.empty()) continue;
    std::memcpy(blob.data() + layout.offsets[i], graph.constants[i]->bytes.data(), graph.constants[i]->bytes.size());
  }
  return blob;
}

json::object to_json(const Op& op) {
  json::object o = std::visit([](const auto& kind) { return members(kind); }, op);
  o["kind"] = kind_name(op);
  return o;
}

json::object to_json(const Graph& graph) {
  const ConstantLayout layout = layout_constants(graph);
  json::array values;
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    const Value& value = graph.values[i];
    json::object o = {{"name", value.name}, {"dtype", name(value.type.dtype)}, {"shape", json::to_array(value.type.shape)}};
    if (layout.offsets[i] >= 0) o["constant"] = layout.offsets[i];
    values.emplace_back(std::move(o));
  }
  json::array nodes;
  for (const Node& node : graph.nodes) {
    json::object o = to_json(node.op);
    o["inputs"] = json::to_array(node.inputs);
    o["outputs"] = json::to_array(node.outputs);
    o["origin"] = node.origin;
    nodes.emplace_back(std::move(o));
  }
  return {{"format", kFormat}, {"name", graph.name}, {"values", std::move(values)}, {"nodes", std::move(nodes)},
          {"inputs", json::to_array(graph.inputs)}, {"outputs", json::to_array(graph.outputs)}};
}

Graph graph_from_json(const json::value& v, std::shared_ptr<const void> owner, std::span<const std::byte> blob) {
  const json::object& o = json::as_object(v, "the graph");
  if (json::get_string(o, "format", "the graph") != kFormat) fail("its format is not " + std::string(kFormat));
  Graph graph;
  graph.name = json::get_string(o, "name", "the graph");
  for (const json::value& item : json::as_array(json::at(o, "values", "the graph"), "its values"))
    read_value(graph, json::as_object(item, "a value"), owner, blob);
  for (const json::value& item : json::as_array(json::at(o, "nodes", "the graph"), "its nodes")) {
    const json::object& node = json::as_object(item, "a node");
    graph.nodes.push_back({op_from_json(node), get_indices(node, "inputs"), get_indices(node, "outputs"), json::get_string(node, "origin", "a node")});
  }
  graph.inputs = get_indices(o, "inputs");
  graph.outputs = get_indices(o, "outputs");
  validate(graph);
  return graph;
}

json::object to_json(const Expr& expr) {
  json::array nodes;
  for (const ExprNode& node : expr.nodes) {
    json::object o = {{"op", name(node.op)}, {"type", name(node.type)}};
    if (node.op == ExprOp::operand) o["operand"] = node.operand;
    if (node.op == ExprOp::constant && is_integer(node.type)) o["integer"] = node.integer;
    if (node.op == ExprOp::constant && !is_integer(node.type)) o["bits"] = bits_text(node.value);
    if (arity(node.op) > 0) o["args"] = json::to_array(std::vector<std::int32_t>(node.args.begin(), node.args.begin() + arity(node.op)));
    nodes.emplace_back(std::move(o));
  }
  return {{"nodes", std::move(nodes)}, {"results", json::to_array(expr.results)}};
}

Expr expr_from_json(const json::value& v) {
  const json::object& o = json::as_object(v, "an expression");
  Expr expr;
  for (const json::value& item : json::as_array(json::at(o, "nodes", "an expression"), "its nodes"))
    expr.nodes.push_back(expr_node(json::as_object(item, "an expression")));
  expr.results = get_indices(o, "results");
  validate(expr, true);
  return expr;
}

}  // namespace kiln::graph
