// The members of a node by its kind.
#include <array>
#include <bit>
#include <charconv>

#include "agents/graph/serialize_parts.h"
#include "runtime/base/json.h"

namespace kiln::graph {
namespace serialization {

void fail(const std::string& cause) { throw Error(ErrorCode::invalid_input, "cannot read the graph: " + cause); }

std::string bits_text(double value) {
  char text[17];
  (void)std::snprintf(text, sizeof text, "%016llx",
                      static_cast<unsigned long long>(std::bit_cast<std::uint64_t>(value)));
  return text;
}

double bits_value(std::string_view text) {
  std::uint64_t bits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
  if (error != std::errc() || end != text.data() + text.size() || text.size() != 16)
    fail("a float is not 16 hexadecimal digits");
  return std::bit_cast<double>(bits);
}

namespace {

std::int32_t narrow(std::int64_t value) {
  if (value < INT32_MIN || value > INT32_MAX) fail("the index " + std::to_string(value) + " does not fit in 32 bits");
  return static_cast<std::int32_t>(value);
}

}  // namespace

std::vector<std::int32_t> get_indices(const json::object& o, std::string_view key) {
  std::vector<std::int32_t> out;
  for (const std::int64_t value : json::get_ints(o, key, "the graph")) out.push_back(narrow(value));
  return out;
}

std::int32_t get_index(const json::object& o, std::string_view key) {
  return narrow(json::get_int(o, key, "the graph"));
}

namespace {

bool get_flag(const json::object& o, std::string_view key) { return json::get_bool(o, key, "the graph"); }
double get_float(const json::object& o, std::string_view key) {
  return bits_value(json::get_string(o, key, "the graph"));
}

constexpr std::array<std::string_view, 6> kMonoids = {"sum", "mean", "max", "min", "prod", "log_sum_exp"};
constexpr std::array<std::string_view, 5> kCombines = {"replace", "add", "mul", "max", "min"};
constexpr std::array<std::string_view, 3> kCells = {"rnn", "gru", "lstm"};

template <class Enum, std::size_t count>
Enum enum_from_name(const std::array<std::string_view, count>& names, const json::object& o, std::string_view key) {
  const std::string text = json::get_string(o, key, "a node");
  for (std::size_t i = 0; i < count; ++i)
    if (names[i] == text) return static_cast<Enum>(i);
  fail("there is no " + std::string(key) + " '" + text + "'");
}
template <std::size_t count, class Enum>
std::string_view enum_name(const std::array<std::string_view, count>& names, Enum value) {
  return names[static_cast<std::size_t>(value)];
}

json::object to_json(const Steps& steps) {
  return {{"strides", json::to_array(steps.strides)}, {"dilations", json::to_array(steps.dilations)},
          {"before", json::to_array(steps.before)}, {"after", json::to_array(steps.after)}};
}

Steps steps_from_json(const json::object& node) {
  const json::object& o = json::as_object(json::at(node, "steps", "a node"), "steps");
  const auto ints = [&](std::string_view key) { return json::get_ints(o, key, "steps"); };
  return {ints("strides"), ints("dilations"), ints("before"), ints("after")};
}

json::object members(const Pointwise& op) { return {{"expr", to_json(op.expr)}}; }
json::object members(const Reduce& op) {
  return {{"monoid", enum_name(kMonoids, op.monoid)}, {"axes", json::to_array(op.axes)}, {"keep_dims", op.keep_dims}};
}
json::object members(const Softmax& op) { return {{"axis", op.axis}, {"log", op.log}}; }
json::object members(const LayerNorm& op) {
  return {{"axis", op.axis}, {"epsilon", bits_text(op.epsilon)}, {"centred", op.centred}};
}
json::object members(const MatMul& op) { return {{"transpose_a", op.transpose_a}, {"transpose_b", op.transpose_b}}; }
json::object members(const Attention& op) {
  json::object out = {{"scale", bits_text(op.scale)}, {"causal", op.causal}};
  if (op.guarded) out["guarded"] = true;
  return out;
}
json::object members(const Gather& op) { return {{"axis", op.axis}}; }
json::object members(const Reshape& op) { return {{"shape", json::to_array(op.shape)}}; }
json::object members(const Transpose& op) { return {{"permutation", json::to_array(op.permutation)}}; }
json::object members(const Slice& op) {
  return {{"starts", json::to_array(op.starts)},
          {"extents", json::to_array(op.extents)},
          {"steps", json::to_array(op.steps)}};
}
json::object members(const Concat& op) { return {{"axis", op.axis}}; }
json::object members(const Expand& op) { return {{"shape", json::to_array(op.shape)}}; }
json::object members(const Convolution& op) {
  return {{"steps", to_json(op.steps)},
          {"groups", op.groups},
          {"transposed", op.transposed},
          {"extra", json::to_array(op.extra)}};
}
json::object members(const Window& op) {
  return {
      {"monoid", enum_name(kMonoids, op.monoid)}, {"kernel", json::to_array(op.kernel)}, {"steps", to_json(op.steps)},
      {"extents", json::to_array(op.extents)},    {"counts_padding", op.counts_padding}, {"positions", op.positions}};
}
json::object members(const Pad& op) {
  return {{"before", json::to_array(op.before)}, {"after", json::to_array(op.after)}};
}
json::object members(const Scan& op) {
  return {{"monoid", enum_name(kMonoids, op.monoid)},
          {"axis", op.axis},
          {"exclusive", op.exclusive},
          {"reverse", op.reverse}};
}
json::object members(const Arg& op) {
  return {{"largest", op.largest}, {"axis", op.axis}, {"keep_dims", op.keep_dims}, {"last", op.last}};
}
json::object members(const TopK& op) { return {{"axis", op.axis}, {"k", op.k}, {"largest", op.largest}}; }
json::object members(const Scatter& op) { return {{"combine", enum_name(kCombines, op.combine)}}; }
json::object members(const Recurrent& op) {
  json::array activations;
  for (const Expr& expr : op.activations) activations.emplace_back(graph::to_json(expr));
  return {{"cell", enum_name(kCells, op.cell)}, {"reverse", op.reverse}, {"reset_after", op.reset_after},
          {"input_forget", op.input_forget}, {"clip", bits_text(op.clip)}, {"activations", std::move(activations)}};
}

Recurrent recurrent_from_json(const json::object& o) {
  Recurrent op{enum_from_name<Cell>(kCells, o, "cell"), get_flag(o, "reverse"), get_flag(o, "reset_after"),
               get_flag(o, "input_forget"), get_float(o, "clip"), {}};
  for (const json::value& item : json::as_array(json::at(o, "activations", "a node"), "activations"))
    op.activations.push_back(expr_from_json(item));
  return op;
}

}  // namespace

Op op_from_json(const json::object& o) {
  const std::string kind = json::get_string(o, "kind", "a node");
  const auto ints = [&](std::string_view key) { return json::get_ints(o, key, "the graph"); };
  if (kind == "pointwise") return Pointwise{expr_from_json(json::at(o, "expr", "a node"))};
  if (kind == "reduce")
    return Reduce{enum_from_name<Monoid>(kMonoids, o, "monoid"), get_indices(o, "axes"), get_flag(o, "keep_dims")};
  if (kind == "softmax") return Softmax{get_index(o, "axis"), get_flag(o, "log")};
  if (kind == "layer_norm")
    return LayerNorm{get_index(o, "axis"), get_float(o, "epsilon"), !o.contains("centred") || get_flag(o, "centred")};
  if (kind == "matmul") return MatMul{get_flag(o, "transpose_a"), get_flag(o, "transpose_b")};
  if (kind == "attention")
    return Attention{get_float(o, "scale"), get_flag(o, "causal"), o.contains("guarded") && get_flag(o, "guarded")};
  if (kind == "gather") return Gather{get_index(o, "axis")};
  if (kind == "reshape") return Reshape{ints("shape")};
  if (kind == "transpose") return Transpose{get_indices(o, "permutation")};
  if (kind == "slice") return Slice{ints("starts"), ints("extents"), ints("steps")};
  if (kind == "concat") return Concat{get_index(o, "axis")};
  if (kind == "expand") return Expand{ints("shape")};
  if (kind == "convolution")
    return Convolution{steps_from_json(o), json::get_int(o, "groups", "a node"), get_flag(o, "transposed"),
                       ints("extra")};
  if (kind == "window")
    return Window{enum_from_name<Monoid>(kMonoids, o, "monoid"), ints("kernel"), steps_from_json(o), ints("extents"),
                  get_flag(o, "counts_padding"), get_flag(o, "positions")};
  if (kind == "pad") return Pad{ints("before"), ints("after")};
  if (kind == "scan")
    return Scan{enum_from_name<Monoid>(kMonoids, o, "monoid"), get_index(o, "axis"), get_flag(o, "exclusive"),
                get_flag(o, "reverse")};
  if (kind == "arg")
    return Arg{get_flag(o, "largest"), get_index(o, "axis"), get_flag(o, "keep_dims"), get_flag(o, "last")};
  if (kind == "topk") return TopK{get_index(o, "axis"), json::get_int(o, "k", "a node"), get_flag(o, "largest")};
  if (kind == "scatter") return Scatter{enum_from_name<Combine>(kCombines, o, "combine")};
  if (kind == "recurrent") return recurrent_from_json(o);
  fail("there is no kind of node '" + kind + "'");
}

}  // namespace serialization

json::object to_json(const Op& op) {
  json::object o = std::visit([](const auto& kind) { return serialization::members(kind); }, op);
  o["kind"] = kind_name(op);
  return o;
}

}  // namespace kiln::graph
