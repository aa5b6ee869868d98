#include <algorithm>
#include <numeric>

#include "agents/region/lowering.h"

namespace kiln::agents {

using graph::ExprOp;
using graph::ValueId;

Walk::Walk(const Region& region, const IterationSpace& space, int row_group)
    : body_(region.body), space_(space), row_group_(row_group), producers_(body_.values.size(), -1) {
  for (std::size_t n = 0; n < body_.nodes.size(); ++n)
    for (const ValueId v : body_.nodes[n].outputs)
      producers_[static_cast<std::size_t>(v)] = static_cast<std::int32_t>(n);
}

const graph::Node* Walk::producer(ValueId value) const {
  const std::int32_t n = producers_[static_cast<std::size_t>(value)];
  return n < 0 ? nullptr : &body_.nodes[static_cast<std::size_t>(n)];
}

std::int32_t Walk::input_index(ValueId value) const {
  const auto at = std::find(body_.inputs.begin(), body_.inputs.end(), value);
  return at == body_.inputs.end() ? -1 : static_cast<std::int32_t>(at - body_.inputs.begin());
}

// A reshape of dense memory is the same memory, whatever the shapes.
ValueId Walk::behind_reshapes(ValueId value) const {
  for (;;) {
    const graph::Node* node = producer(value);
    if (!node || !std::holds_alternative<graph::Reshape>(node->op) || places_.contains(value)) return value;
    value = node->inputs[0];
  }
}

IndexMap Walk::identity(std::size_t first_dimension, std::size_t count) const {
  IndexMap map;
  for (std::size_t d = 0; d < count; ++d) map.push_back(space_.index(first_dimension + d));
  return map;
}

void Walk::place(ValueId value, IndexMap map, bool computed) {
  places_[value] = std::move(map);
  if (row_group_ >= 0) row_source_ = value;
  if (computed) {
    computed_ = value;
    expr.operand(0, body_.type(value).dtype);
  } else {
    place_sources(value);
  }
}

// What a placed value is computed from element by element is at the same places: a result may be reached from there
// alone, as x / rms(x) is from x when the row that was placed is that of x * x.
void Walk::place_sources(ValueId value) {
  const graph::Node* node = producer(value);
  if (!node) return;
  if (graph::is_view(node->op)) {
    const ValueId from = node->inputs[0];
    if (graph::element_count(shape(from)) != graph::element_count(shape(value)) || places_.contains(from)) return;
    places_[from] = pull(space_, node->op, places_.at(value), shape(from), shape(value));
    return place_sources(from);
  }
  if (!std::holds_alternative<graph::Pointwise>(node->op)) return;
  for (const ValueId from : node->inputs) {
    if (shape(from) != shape(value) || places_.contains(from)) continue;
    places_[from] = places_.at(value);
    place_sources(from);
  }
}

RawAccess Walk::read(ValueId value, const IndexMap& map) const {
  IndexMap at = map;
  for (;;) {
    const ValueId dense = behind_reshapes(value);
    if (const std::int32_t input = input_index(dense); input >= 0)
      return {input, body_.type(dense).dtype, linear(space_, at, shape(value))};
    const graph::Node* node = producer(value);
    if (!node || !graph::is_view(node->op)) throw Unfoldable{};
    at = pull(space_, node->op, at, shape(node->inputs[0]), shape(value));
    value = node->inputs[0];
  }
}

// Where the elements of `value` are, from those of what it is computed from.
std::optional<IndexMap> Walk::placed(ValueId value) const {
  if (const auto at = places_.find(value); at != places_.end()) return at->second;
  const graph::Node* node = producer(value);
  if (!node) return std::nullopt;
  if (graph::is_view(node->op)) {
    const std::optional<IndexMap> input = placed(node->inputs[0]);
    if (!input) return std::nullopt;
    return push(space_, node->op, *input, shape(node->inputs[0]), shape(value));
  }
  if (const auto* op = std::get_if<graph::Reduce>(&node->op)) {
    const std::optional<IndexMap> input = placed(node->inputs[0]);
    if (!input) return std::nullopt;
    const std::vector<std::size_t> axes = normalized_axes(op->axes, input->size());
    IndexMap map;
    for (std::size_t d = 0; d < input->size(); ++d) {
      const bool reduced = std::find(axes.begin(), axes.end(), d) != axes.end();
      if (reduced && op->keep_dims) map.push_back(space_.constant(0));
      if (!reduced) map.push_back((*input)[d]);
    }
    return map;
  }
  const bool elementwise = std::holds_alternative<graph::Pointwise>(node->op) ||
                           std::holds_alternative<graph::Softmax>(node->op) ||
                           std::holds_alternative<graph::LayerNorm>(node->op);
  if (!elementwise) return std::nullopt;
  for (const ValueId input : node->inputs) {
    if (graph::element_count(shape(input)) != graph::element_count(shape(value))) continue;
    const std::optional<IndexMap> at = placed(input);
    if (!at) continue;
    IndexMap map(shape(value).size() - shape(input).size(), space_.constant(0));  // leading dimensions of extent 1
    map.insert(map.end(), at->begin(), at->end());
    return map;
  }
  // What is computed from the row's results and from other values of its shape, as a residual, goes along with it.
  if (row_source_ && shape(*row_source_) == shape(value)) return places_.at(*row_source_);
  return std::nullopt;
}

// Where the parts of a value begin along the dimension that Concat joins them along; any other value is one part.
std::vector<Walk::Part> Walk::parts_of(ValueId value) const {
  const graph::Node* node = producer(value);
  const auto* joined = node && value != computed_ ? std::get_if<graph::Concat>(&node->op) : nullptr;
  if (!joined) return {{value, 0, 0}};
  const std::size_t axis = normalized_axes({joined->axis}, shape(value).size())[0];
  std::vector<Part> parts;
  std::int64_t begin = 0;
  for (const ValueId source : node->inputs) {
    parts.push_back({source, axis, begin});
    begin += shape(source)[axis];
  }
  return parts;
}

void Walk::write_outputs() {
  const std::int64_t rows = row_group_ < 0 ? 1 : row_length();
  std::int64_t elements = 1;
  for (std::size_t axis = 0; axis < space_.extents().size(); ++axis) elements *= space_.extents()[axis];
  for (std::size_t r = 0; r < body_.outputs.size(); ++r) {
    const ValueId output = body_.outputs[r];
    const ValueId dense = behind_reshapes(output);
    for (const Part& part : parts_of(dense)) {
      const std::optional<IndexMap> map = placed(part.value);
      if (!map) throw Unfoldable{};
      IndexMap place = *map;
      if (!place.empty()) place[part.axis].offset += part.begin;
      const Affine address = linear(space_, place, shape(dense));
      const bool per_row = row_group_ >= 0 && !varies_along_row(address) && rows > 1;
      // Every element is written exactly once: the strides are those of distinct digits, so that counting is enough.
      std::int64_t written = 1;
      for (std::size_t axis = 0; axis < address.strides.size(); ++axis)
        if (address.strides[axis] != 0) written *= space_.extents()[axis];
      if (written != graph::element_count(shape(part.value))) throw Unfoldable{};
      if (row_group_ >= 0 && written * (per_row ? rows : 1) != elements) throw Unfoldable{};
      expr.results.push_back(element(part.value, *map));
      writes.push_back({static_cast<std::int32_t>(r), body_.type(output).dtype, address});
      write_per_row.push_back(per_row);
    }
  }
}

std::int32_t Walk::operand_for(const RawAccess& access) {
  const std::int32_t first = computed_ ? 1 : 0;
  const auto at = std::find(reads.begin(), reads.end(), access);
  const auto index = static_cast<std::int32_t>(at - reads.begin());
  if (at == reads.end()) reads.push_back(access);
  return expr.operand(first + index, access.type);
}

std::int32_t Walk::element_of_constant(ValueId value) {
  const graph::DType type = body_.type(value).dtype;
  if (graph::element_count(shape(value)) != 1) throw Unfoldable{};  // a table: the planner passes those as inputs
  const std::byte* bytes = body_.constants[static_cast<std::size_t>(value)]->bytes.data();
  if (!graph::is_integer(type)) return expr.constant(graph::load_double(type, bytes, 0), type);
  std::int64_t integer = 0;
  for (std::size_t i = graph::size_of(type); i-- > 0;)  // little-endian; all 64 bits count, so not by way of a double
    integer = (integer << 8) | std::to_integer<std::int64_t>(bytes[i]);
  const std::size_t unused = 64 - 8 * graph::size_of(type);
  const bool is_signed = graph::name(type)[0] == 'i';
  if (is_signed) integer = static_cast<std::int64_t>(static_cast<std::uint64_t>(integer) << unused) >> unused;
  return expr.integer(integer, type);
}

std::int32_t Walk::element(ValueId value, const IndexMap& map) {
  if (computed_ == value) {
    if (map != places_.at(value)) throw Unfoldable{};  // another element of what is being computed
    return expr.operand(0, body_.type(value).dtype);
  }
  if (const auto at = known_.find({value, map}); at != known_.end()) return at->second;
  std::int32_t node = -1;
  if (body_.is_constant(value)) {
    node = element_of_constant(value);
  } else if (const ValueId dense = behind_reshapes(value); input_index(dense) >= 0) {
    node = operand_for({input_index(dense), body_.type(dense).dtype, linear(space_, map, shape(value))});
  } else if (const graph::Node* from = producer(value)) {
    node = element_of_node(*from, value, map);
  } else {
    throw Unfoldable{};
  }
  known_[{value, map}] = node;
  return node;
}

std::int32_t Walk::element_of_node(const graph::Node& node, ValueId value, const IndexMap& map) {
  if (graph::is_view(node.op))
    return element(node.inputs[0], pull(space_, node.op, map, shape(node.inputs[0]), shape(value)));
  if (const auto* op = std::get_if<graph::Pointwise>(&node.op)) {
    std::vector<std::int32_t> arguments;
    for (const ValueId input : node.inputs)
      arguments.push_back(element(input, broadcast_map(space_, map, shape(input), shape(value))));
    const std::vector<std::int32_t> results = graph::inline_expr(expr, op->expr, arguments);
    const auto which = std::find(node.outputs.begin(), node.outputs.end(), value) - node.outputs.begin();
    return results[static_cast<std::size_t>(which)];
  }
  if (const auto* op = std::get_if<graph::Window>(&node.op)) return window(*op, node, map);
  if (row_group_ < 0) throw Unfoldable{};
  if (const auto* op = std::get_if<graph::Softmax>(&node.op)) return softmax(*op, node, map);
  if (const auto* op = std::get_if<graph::LayerNorm>(&node.op)) return layer_norm(*op, node, map);
  if (const auto* op = std::get_if<graph::Reduce>(&node.op)) return reduce(*op, node, map);
  throw Unfoldable{};
}

}  // namespace kiln::agents
