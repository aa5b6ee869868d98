// A product or a convolution whose results are reduced in the same region: what it computes and writes is lowered by
// itself, the reductions as rows over what they read of it, and the two are one kernel where the rows are such as its
// templates sum up.
#include <algorithm>

#include "agents/region/families.h"

namespace kiln::agents {
namespace {

using graph::ValueId;

bool contains(const std::vector<ValueId>& values, ValueId v) {
  return std::find(values.begin(), values.end(), v) != values.end();
}

// Per node of the body: whether it is the rows': reductions, what depends on them, and the views that only these read.
std::vector<bool> nodes_of_rows(const graph::Graph& body) {
  std::vector<bool> value(body.values.size(), false), rows(body.nodes.size(), false);
  for (std::size_t n = 0; n < body.nodes.size(); ++n) {
    const graph::Node& node = body.nodes[n];
    rows[n] = std::holds_alternative<graph::Reduce>(node.op) ||
              std::any_of(node.inputs.begin(), node.inputs.end(),
                          [&](ValueId v) { return value[static_cast<std::size_t>(v)]; });
    for (const ValueId v : node.outputs) value[static_cast<std::size_t>(v)] = rows[n];
  }
  for (std::size_t n = body.nodes.size(); n-- > 0;) {
    const graph::Node& node = body.nodes[n];
    if (rows[n] || !graph::is_view(node.op) || contains(body.outputs, node.outputs[0])) continue;
    bool read = false, elsewhere = false;
    for (std::size_t user = n + 1; user < body.nodes.size(); ++user)
      if (contains(body.nodes[user].inputs, node.outputs[0])) (rows[user] ? read : elsewhere) = true;
    rows[n] = read && !elsewhere;
  }
  return rows;
}

struct Parts {
  Region led, rows;
  ValueId observed = -1;
  bool written = false;  // it is an output of the region as well
  std::vector<std::int32_t> led_outputs{}, rows_outputs{};  // of the region, by output of the part
};

// nullopt when the reductions read more than one of the values that are led, or nobody reads what they give.
std::optional<Parts> parts_of(const Region& region) {
  const graph::Graph& body = region.body;
  const std::vector<bool> rows = nodes_of_rows(body);
  Parts out{region, region};
  out.led.body.nodes.clear();
  out.rows.body.nodes.clear();
  out.led.body.outputs.clear();
  out.rows.body.outputs.clear();
  std::vector<ValueId> led;  // made there
  for (std::size_t n = 0; n < body.nodes.size(); ++n) {
    const graph::Node& node = body.nodes[n];
    (rows[n] ? out.rows : out.led).body.nodes.push_back(node);
    if (!rows[n]) led.insert(led.end(), node.outputs.begin(), node.outputs.end());
    for (const ValueId v : node.inputs) {
      if (!rows[n] || !contains(led, v) || v == out.observed) continue;
      if (out.observed >= 0) return std::nullopt;
      out.observed = v;
    }
  }
  for (std::size_t i = 0; i < body.outputs.size(); ++i) {
    const bool of_led = contains(led, body.outputs[i]);
    (of_led ? out.led : out.rows).body.outputs.push_back(body.outputs[i]);
    (of_led ? out.led_outputs : out.rows_outputs).push_back(static_cast<std::int32_t>(i));
  }
  if (out.observed < 0 || out.rows_outputs.empty()) return std::nullopt;
  out.written = contains(out.led.body.outputs, out.observed);
  if (!out.written) out.led.body.outputs.push_back(out.observed);
  out.rows.body.inputs.push_back(out.observed);
  out.rows.weight.push_back(false);
  return out;
}

// Whether element [i...] of `shape` lies at the sum of i[d] times the row-major strides of the shape, times `unit`.
bool lies_in_order(const std::vector<std::int64_t>& strides, const graph::Shape& shape, std::int64_t unit) {
  std::int64_t expected = unit;
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (shape[d] > 1 && strides[d] != expected) return false;
    expected *= shape[d];
  }
  return true;
}

struct RowStrides { std::int64_t between, along; };

bool has_strides(const RowKernel& rows, const Access& read, const RowStrides& wanted) {
  const auto middle = read.strides.begin() + static_cast<std::ptrdiff_t>(rows.outer.size());
  return read.offset == 0 && lies_in_order({read.strides.begin(), middle}, rows.outer, wanted.between) &&
         lies_in_order({middle, read.strides.end()}, along_of(rows), wanted.along);
}

// Whether the rows are such as the kernel's templates sum up; `to`: where it would write what they are of.
bool are_summed_up(const ConvolutionKernel& k, const Access& to, const RowKernel& rows, const Access& read) {
  graph::Shape results = {k.n, k.groups, k.m};
  results.insert(results.end(), k.out.begin(), k.out.end());
  const std::int64_t positions = graph::element_count(k.out);
  return to.offset == 0 && lies_in_order(to.strides, results, 1) && has_strides(rows, read, {rows.length, 1}) &&
         rows.length % positions == 0 && k.groups * k.m % (rows.length / positions) == 0 &&
         rows.length * graph::element_count(rows.outer) == graph::element_count(results);
}
bool are_summed_up(const MatmulKernel& k, const Access& to, const RowKernel& rows, const Access& read) {
  return k.batch.empty() && to.offset == 0 && lies_in_order(to.strides, {k.m, k.n}, 1) &&
         has_strides(rows, read, {1, k.n}) && rows.length == k.m && graph::element_count(rows.outer) == k.n;
}
bool are_summed_up(const auto&, const Access&, const RowKernel&, const Access&) { return false; }

std::optional<Kernel> joined(const Parts& parts, auto k, RowKernel rows) {
  const auto observed = static_cast<std::int32_t>(parts.rows.body.inputs.size()) - 1;
  const auto is_read = [&](const Access& a) { return a.buffer == observed; };
  if (std::count_if(rows.reads.begin(), rows.reads.end(), is_read) != 1) return std::nullopt;
  const auto read = std::find_if(rows.reads.begin(), rows.reads.end(), is_read);
  const auto place = std::find(parts.led.body.outputs.begin(), parts.led.body.outputs.end(), parts.observed);
  const auto output = static_cast<std::int32_t>(place - parts.led.body.outputs.begin());
  const auto is_written = [&](const Access& a) { return a.buffer == output; };
  const auto write = std::find_if(k.writes.begin(), k.writes.end(), is_written);
  if (write == k.writes.end() || !are_summed_up(k, *write, rows, *read)) return std::nullopt;
  const auto number = write - k.writes.begin();
  Statistics statistics;
  statistics.element = k.epilogue.results[static_cast<std::size_t>(number)];
  statistics.observed = static_cast<std::int32_t>(read - rows.reads.begin());
  read->buffer = -1;
  if (!parts.written) {
    k.writes.erase(write);
    k.epilogue.results.erase(k.epilogue.results.begin() + number);
  }
  for (Access& a : k.writes) a.buffer = parts.led_outputs[static_cast<std::size_t>(a.buffer)];
  for (Access& a : rows.writes) a.buffer = parts.rows_outputs[static_cast<std::size_t>(a.buffer)];
  statistics.rows = std::move(rows);
  k.statistics = std::move(statistics);
  return Kernel(std::move(k));
}

}  // namespace

std::optional<Kernel> lower_with_statistics(const Region& region) {
  const std::optional<Parts> parts = parts_of(region);
  if (!parts) return std::nullopt;
  const std::optional<Kernel> led = lower(parts->led), rows = lower(parts->rows);
  const auto* row = rows ? std::get_if<RowKernel>(&*rows) : nullptr;
  if (!led || row == nullptr ||
      !std::all_of(row->write_per_row.begin(), row->write_per_row.end(), [](bool once) { return once; }))
    return std::nullopt;
  if (const auto* k = std::get_if<ConvolutionKernel>(&*led)) return joined(*parts, *k, *row);
  if (const auto* k = std::get_if<MatmulKernel>(&*led)) return joined(*parts, *k, *row);
  return std::nullopt;
}

}  // namespace kiln::agents
