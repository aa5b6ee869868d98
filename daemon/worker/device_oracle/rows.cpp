// Reductions, softmax, layer normalisation; scans, arguments of extrema, top-k.
#include <algorithm>
#include <limits>

#include "daemon/worker/device_oracle/device_array.h"

namespace kiln::worker::device {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The rows of an array: kept dimensions number them, reduced ones are walked along.
struct Rows {
  Grid kept, reduced;
  Strides row_of;  // from an element's place to its row's number
  std::int64_t count = 1, length = 1;
};

Rows rows_over(const Shape& shape, const std::vector<bool>& is_reduced) {
  const Strides own = graph::row_major_strides(shape);
  Shape kept, reduced;
  Strides kept_strides, reduced_strides;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    (is_reduced[d] ? reduced : kept).push_back(shape[d]);
    (is_reduced[d] ? reduced_strides : kept_strides).push_back(own[d]);
  }
  Rows rows;
  rows.kept = collapsed(kept, {kept_strides});
  rows.reduced = collapsed(reduced, {reduced_strides});
  rows.count = graph::element_count(kept);
  rows.length = graph::element_count(reduced);
  const Strides numbers = graph::row_major_strides(kept);
  for (std::size_t d = 0, next = 0; d < shape.size(); ++d)
    rows.row_of.push_back(is_reduced[d] ? 0 : numbers[next++]);
  return rows;
}

std::vector<bool> one_axis(const Shape& shape, std::size_t axis) {
  std::vector<bool> reduced(shape.size(), false);
  reduced[axis] = true;
  return reduced;
}

struct Fold {
  kernels::Monoid monoid = kernels::monoid_sum;
  kernels::Map map = kernels::map_identity;
  const void* base = nullptr;
  Int divisor = 0, type = kernels::type_exact;
};

// In sums of at most kRun elements, and sums of those.
void fold(const Launcher& launcher, kernels::Carrier carrier, const void* x, const Rows& rows, const Fold& how,
          void* y) {
  kernels::FoldArguments given{};
  given.x = x;
  given.base = how.base;
  given.y = y;
  given.rows = rows.count;
  fill(given.row_rank, given.row_extent, rows.kept);
  fill(given.row_stride, rows.kept.strides[0]);
  given.length = rows.length;
  fill(given.rank, given.extent, rows.reduced);
  fill(given.stride, rows.reduced.strides[0]);
  given.run = kRun;
  given.runs = (rows.length + kRun - 1) / kRun;
  given.monoid = how.monoid;
  given.map = how.map;
  given.infinity = kInfinity;
  const bool is_last = given.runs == 1;
  given.divisor = is_last ? how.divisor : 0;
  given.type = is_last ? how.type : static_cast<Int>(kernels::type_exact);
  if (is_last) return launcher.launch("fold", carrier, given, given.rows);
  const auto parts = launcher.take(static_cast<std::size_t>(given.rows * given.runs) * bytes_of(carrier));
  given.y = parts->pointer();
  launcher.launch("fold", carrier, given, given.rows * given.runs);
  Rows of_parts;
  of_parts.kept = collapsed({rows.count}, {{given.runs}});
  of_parts.reduced = collapsed({given.runs}, {{1}});
  of_parts.count = rows.count;
  of_parts.length = given.runs;
  const Fold of_all = {how.monoid, kernels::map_identity, nullptr, how.divisor, how.type};
  fold(launcher, carrier, parts->pointer(), of_parts, of_all, y);
}

// One figure per row.
std::shared_ptr<const targets::cuda::DeviceMemory> figures(const Launcher& launcher, const Array& x, const Rows& rows,
                                                           const Fold& how) {
  auto memory = launcher.take(static_cast<std::size_t>(rows.count) * bytes_of(x.carrier));
  fold(launcher, x.carrier, x.base(), rows, how, memory->pointer());
  return memory;
}

kernels::RowArguments row_arguments(kernels::RowKind kind, const Rows& rows, Int type) {
  kernels::RowArguments given{};
  given.kind = kind;
  given.length = rows.length;
  given.type = type;
  given.infinity = kInfinity;
  return given;
}

Array log_sum_exp(const Launcher& launcher, const Array& x, const Rows& rows, const graph::TensorType& out) {
  const auto top = figures(launcher, x, rows, {kernels::monoid_max});
  const auto sum = figures(launcher, x, rows, {kernels::monoid_sum, kernels::map_exp_minus_finite, top->pointer()});
  Array y = launcher.make(out);
  kernels::RowArguments given = row_arguments(kernels::row_log_sum_exp, rows, static_cast<Int>(out.dtype));
  given.first = top->pointer();
  given.second = sum->pointer();
  given.y = y.base();
  given.count = rows.count;
  const Grid grid = collapsed({rows.count}, {{1}});
  fill(given.rank, given.extent, grid);
  fill(given.row_stride, grid.strides[0]);
  launcher.launch("rows", y.carrier, given, given.count);
  return y;
}

kernels::Monoid monoid_of(graph::Monoid monoid) { return static_cast<kernels::Monoid>(monoid); }
static_assert(static_cast<Int>(graph::Monoid::mean) == kernels::monoid_mean &&
              static_cast<Int>(graph::Monoid::prod) == kernels::monoid_prod);

struct Lines {
  Int count, length, inner;
};
Lines lines_of(const Shape& shape, std::int32_t axis) {
  const auto at = shape.begin() + axis;
  const Int inner = graph::element_count({at + 1, shape.end()});
  return {graph::element_count({shape.begin(), at}) * inner, *at, inner};
}

}  // namespace

Arrays run(const graph::Reduce& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  std::vector<bool> reduced(in[0].type.shape.size(), false);
  for (const std::int32_t axis : op.axes) reduced[static_cast<std::size_t>(axis)] = true;
  const Rows rows = rows_over(in[0].type.shape, reduced);
  if (op.monoid == graph::Monoid::log_sum_exp) return {log_sum_exp(launcher, in[0], rows, out[0])};
  Array y = launcher.make(out[0]);
  const bool is_mean = op.monoid == graph::Monoid::mean;
  fold(launcher, y.carrier, in[0].base(), rows,
       {is_mean ? kernels::monoid_sum : monoid_of(op.monoid), kernels::map_identity, nullptr, is_mean ? rows.length : 0,
        static_cast<Int>(out[0].dtype)},
       y.base());
  return {y};
}

Array softmax(const Launcher& launcher, const Array& x, std::size_t axis, bool log, Int type) {
  const Rows rows = rows_over(x.type.shape, one_axis(x.type.shape, axis));
  const auto top = figures(launcher, x, rows, {kernels::monoid_max});
  const auto sum = figures(launcher, x, rows, {kernels::monoid_sum, kernels::map_exp_minus, top->pointer()});
  Array y = launcher.make(x.type);
  kernels::RowArguments given = row_arguments(log ? kernels::row_log_softmax : kernels::row_softmax, rows, type);
  given.x = x.base();
  given.first = top->pointer();
  given.second = sum->pointer();
  given.y = y.base();
  given.count = y.count();
  const Grid grid = collapsed(x.type.shape, {rows.row_of});
  fill(given.rank, given.extent, grid);
  fill(given.row_stride, grid.strides[0]);
  launcher.launch("rows", y.carrier, given, given.count);
  return y;
}

Arrays run(const graph::Softmax& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  return {softmax(launcher, in[0], static_cast<std::size_t>(op.axis), op.log, static_cast<Int>(out[0].dtype))};
}

Arrays run(const graph::LayerNorm& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  const Shape& shape = out[0].shape;
  std::vector<bool> reduced(shape.size(), false);
  for (auto d = static_cast<std::size_t>(op.axis); d < shape.size(); ++d) reduced[d] = true;
  const Rows rows = rows_over(shape, reduced);
  std::shared_ptr<const targets::cuda::DeviceMemory> mean;
  if (op.centred)
    mean = figures(launcher, in[0], rows, {kernels::monoid_sum, kernels::map_identity, nullptr, rows.length});
  const void* center = mean ? mean->pointer() : nullptr;
  const auto squares =
      figures(launcher, in[0], rows, {kernels::monoid_sum, kernels::map_squared_difference, center});
  Array y = launcher.make(out[0]);
  kernels::RowArguments given = row_arguments(kernels::row_normalise, rows, static_cast<Int>(out[0].dtype));
  given.x = in[0].base();
  given.first = mean ? mean->pointer() : nullptr;
  given.second = squares->pointer();
  given.scale = in[1].base();
  given.bias = in.size() > 2 ? in[2].base() : nullptr;
  given.y = y.base();
  given.count = y.count();
  given.epsilon = op.epsilon;
  const Grid grid = collapsed(shape, {rows.row_of, broadcast_strides(in[1].type.shape, shape),
                                      broadcast_strides(in.back().type.shape, shape)});
  fill(given.rank, given.extent, grid);
  fill(given.row_stride, grid.strides[0]);
  fill(given.scale_stride, grid.strides[1]);
  fill(given.bias_stride, grid.strides[2]);
  launcher.launch("rows", y.carrier, given, given.count);
  return {y};
}

Arrays run(const graph::Scan& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  Array y = launcher.make(out[0]);
  const Lines lines = lines_of(out[0].shape, op.axis);
  const kernels::ScanArguments given = {in[0].base(), y.base(), lines.count, lines.length, lines.inner,
                                        monoid_of(op.monoid), op.exclusive, op.reverse, static_cast<Int>(out[0].dtype),
                                        kInfinity};
  launcher.launch("scan", y.carrier, given, lines.count);
  return {y};
}

Arrays run(const graph::Arg& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  Array y = launcher.make(out[0]);
  const Lines lines = lines_of(in[0].type.shape, op.axis);
  const kernels::ArgArguments given = {in[0].base(), static_cast<Int*>(y.base()), lines.count, lines.length,
                                       lines.inner, op.largest, op.last};
  launcher.launch("arg", in[0].carrier, given, lines.count);
  return {y};
}

Arrays run(const graph::TopK& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  Array y = launcher.make(out[0]), places = launcher.make(out[1]);
  const Lines lines = lines_of(in[0].type.shape, op.axis);
  const kernels::TopArguments given = {in[0].base(), y.base(), static_cast<Int*>(places.base()), lines.count,
                                       lines.length, lines.inner, op.k, op.largest};
  launcher.launch("top", y.carrier, given, lines.count);
  return {y, places};
}

}  // namespace kiln::worker::device
