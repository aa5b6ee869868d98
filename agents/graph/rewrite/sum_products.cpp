// A sum or mean of a product's columns is the product with the sum of the second matrix's columns; of its rows, that of
// the sum of the first's. M x K x N multiplications become M x K, K x N, or their sum.
#include "agents/graph/rewrite/linear_sum.h"
#include "agents/graph/rewrite/rules.h"

namespace kiln::graph::rewrite {
namespace {

// Below this many rows or columns there is little to gain, and another kernel to launch.
constexpr std::int64_t kLeast = 4;

std::int32_t from_end(const Shape& shape, int back) { return static_cast<std::int32_t>(shape.size()) - back; }

// The second matrix's columns, summed. A constant one is summed now.
std::optional<ValueId> summed_columns(Sweep& pass, const LinearSum& sum, const MatMul& product, ValueId b) {
  const TensorType type = pass.graph.type(b);
  const Reduce reduce{sum.mean ? Monoid::mean : Monoid::sum, {from_end(type.shape, product.transpose_b ? 2 : 1)}, true};
  if (!pass.graph.is_constant(b)) return pass.add(reduce, {b}, "columns");
  Graph g;
  g.outputs = g.add_node(reduce, {copied(g, pass.graph, b)}, "columns");
  return pass.add_evaluated(g, type.dtype);
}

std::optional<ValueId> rule(Sweep& pass, const Node& node) {
  const std::optional<LinearSum> sum = linear_sum(pass, node);
  const MatMul* found = sum ? pass.made_by<MatMul>(sum->operation) : nullptr;
  if (found == nullptr) return std::nullopt;
  const MatMul product = *found;
  const Node maker = *pass.maker(sum->operation);
  ValueId a = maker.inputs[0], b = maker.inputs[1];
  const Shape a_shape = pass.graph.type(a).shape, b_shape = pass.graph.type(b).shape;
  const Shape result = pass.graph.type(sum->operation).shape;
  if (a_shape.size() != result.size() || b_shape.size() < 2 || a_shape.size() < 2) return std::nullopt;
  const std::size_t last = result.size() - 1;
  const std::int64_t m = result[last - 1], n = result[last];
  // The dimensions before the rows are rows too where the second matrix is one for all of them.
  Reduce rows{sum->mean ? Monoid::mean : Monoid::sum, {}, true};
  for (std::size_t d = 0; d < last; ++d) {
    if (!sum->over[d]) continue;
    if (d + 1 < last && b_shape.size() > 2) return std::nullopt;
    const bool swapped = d + 1 == last && product.transpose_a;
    rows.axes.push_back(static_cast<std::int32_t>(swapped ? last : d));
  }
  std::int64_t summed_rows = 1;
  for (std::size_t d = 0; d < last; ++d) summed_rows *= sum->over[d] ? result[d] : 1;
  const bool columns_pay = sum->over[last] && n >= kLeast && (pass.graph.is_constant(b) || m >= kLeast);
  const bool rows_pay = !rows.axes.empty() && summed_rows >= kLeast && n >= kLeast;
  if (sum->over[last] ? !columns_pay : !rows_pay) return std::nullopt;
  if (sum->over[last]) {
    const std::optional<ValueId> columns = summed_columns(pass, *sum, product, b);
    if (!columns) return std::nullopt;
    b = *columns;
  }
  if (!rows.axes.empty()) a = pass.add(std::move(rows), {a}, node.origin);
  return finished(pass, pass.add(product, {a, b}, maker.origin), *sum, node);
}

}  // namespace

int sum_products(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = rule(pass, node);
    if (out) log.push_back("mean_of_product: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
