#include "agents/graph/serialize.h"

#include <array>
#include <cstring>
#include <map>

#include "agents/graph/serialize_parts.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"

namespace kiln::graph {
namespace {

using namespace serialization;

constexpr std::int64_t kAlignment = 64;
constexpr std::string_view kFormat = "kiln-graph/1";

std::int64_t aligned(std::int64_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

void read_value(Graph& graph, const json::object& o, const std::shared_ptr<const void>& owner,
                std::span<const std::byte> blob) {
  const DType dtype = dtype_from_name(json::get_string(o, "dtype", "a value"));
  const ValueId id =
      graph.add_value(json::get_string(o, "name", "a value"), {dtype, json::get_ints(o, "shape", "a value")});
  const std::int64_t elements = element_count(graph.type(id).shape);
  const auto offset = json::find_int(o, "constant", "a value");
  if (!offset) return;
  const std::int64_t bytes = elements * static_cast<std::int64_t>(size_of(dtype));
  const auto size = static_cast<std::int64_t>(blob.size());
  if (*offset < 0 || *offset % kAlignment != 0 || *offset > size || bytes > size - *offset)
    fail("the constant '" + graph.values.back().name + "' lies outside the " + std::to_string(size) +
         " bytes of constants");
  graph.constants.back() =
      Constant{owner, blob.subspan(static_cast<std::size_t>(*offset), static_cast<std::size_t>(bytes))};
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
  if (args.size() != static_cast<std::size_t>(arity(node.op)))
    fail("'" + std::string(name(node.op)) + "' has another number of arguments");
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
    const auto [entry, fresh] = placed.try_emplace(graph.constants[i]->digest(), aligned(layout.total_bytes));
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

std::string constants_digest(const Graph& graph, const ConstantLayout& layout) {
  static constexpr std::array<std::byte, kAlignment> kZeros{};
  Sha256 hash;
  std::int64_t at = 0;
  const auto fill_up = [&](std::int64_t offset) {
    hash.update(std::span(kZeros).first(static_cast<std::size_t>(offset - at)));
  };
  for (std::size_t i = 0; i < graph.constants.size(); ++i) {
    if (!graph.constants[i] || graph.constants[i]->bytes.empty() || layout.offsets[i] < at) continue;
    const auto bytes = static_cast<std::int64_t>(graph.constants[i]->bytes.size());
    if (bytes == layout.total_bytes) return graph.constants[i]->digest();
    fill_up(layout.offsets[i]);
    hash.update(graph.constants[i]->bytes);
    at = layout.offsets[i] + bytes;
  }
  fill_up(layout.total_bytes);  // an empty constant behind the last has a place too
  return hash.finish_hex();
}

json::object to_json(const Graph& graph) {
  const ConstantLayout layout = layout_constants(graph);
  json::array values;
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    const Value& value = graph.values[i];
    json::object o = {
        {"name", value.name}, {"dtype", name(value.type.dtype)}, {"shape", json::to_array(value.type.shape)}};
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
    graph.nodes.push_back({op_from_json(node), get_indices(node, "inputs"), get_indices(node, "outputs"),
                           json::get_string(node, "origin", "a node")});
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
    if (arity(node.op) > 0)
      o["args"] = json::to_array(std::vector<std::int32_t>(node.args.begin(), node.args.begin() + arity(node.op)));
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
