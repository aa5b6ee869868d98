// Pointwise expressions, and nodes that move elements.
#include <algorithm>

#include "daemon/worker/device_oracle/device_array.h"

namespace kiln::worker::device {

using graph::ExprOp;
using targets::cuda::DeviceMemory;

// The kernels know operations by their numbers.
static_assert(static_cast<Int>(ExprOp::cast) == kernels::op_cast && static_cast<Int>(ExprOp::erf) == kernels::op_erf &&
              static_cast<Int>(ExprOp::logical_not) == kernels::op_logical_not &&
              static_cast<Int>(ExprOp::bit_not) == kernels::op_bit_not &&
              static_cast<Int>(ExprOp::add) == kernels::op_add &&
              static_cast<Int>(ExprOp::shift_right) == kernels::op_shift_right &&
              static_cast<Int>(ExprOp::select) == kernels::op_select);

namespace {

std::vector<kernels::Step> steps_of(const graph::Expr& expr, graph::Arithmetic arithmetic) {
  std::vector<kernels::Step> out;
  for (const graph::ExprNode& node : expr.nodes) {
    kernels::Step step{};
    step.op = static_cast<Int>(node.op);
    step.carrier = carrier_of(node.type, arithmetic);
    step.type = static_cast<Int>(node.type);
    step.rounds = 1;
    if (node.args[0] >= 0) {
      const graph::DType from = expr.nodes[static_cast<std::size_t>(node.args[0])].type;
      step.from_carrier = carrier_of(from, arithmetic);
      step.from_type = static_cast<Int>(from);
    }
    for (std::size_t a = 0; a < 3; ++a) step.args[a] = std::max(node.args[a], 0);  // what is not used is read as well
    step.operand = node.operand;
    step.value = node.value;
    step.integer = node.integer;
    out.push_back(step);
  }
  return out;
}

void move(const Launcher& launcher, const Array& x, const Array& y, const Shape& extents, const Strides& from,
          std::int64_t from_offset, const Strides& to, std::int64_t to_offset) {
  const Grid grid = collapsed(extents, {from, to});
  kernels::MoveArguments given{};
  given.x = x.base();
  given.y = y.base();
  given.count = graph::element_count(extents);
  fill(given.rank, given.extent, grid);
  fill(given.from_stride, grid.strides[0]);
  fill(given.to_stride, grid.strides[1]);
  given.from_offset = from_offset;
  given.to_offset = to_offset;
  launcher.launch("move", y.carrier, given, given.count);
}

Array strided(const Launcher& launcher, const Array& x, const graph::TensorType& type, const Strides& strides,
              std::int64_t offset) {
  Array y = launcher.make(type);
  move(launcher, x, y, type.shape, strides, offset, graph::row_major_strides(type.shape), 0);
  return y;
}

std::int64_t count_behind(const Shape& shape, std::size_t axis) {
  return graph::element_count({shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, shape.end()});
}

}  // namespace

Arrays run(const graph::Pointwise& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  std::vector<Strides> strides;
  for (const Array& x : in) strides.push_back(broadcast_strides(x.type.shape, out[0].shape));
  const Grid grid = collapsed(out[0].shape, strides);
  kernels::PointwiseArguments given{};
  fill(given.rank, given.extent, grid);
  given.count = graph::element_count(out[0].shape);

  const std::vector<kernels::Step> steps = steps_of(op.expr, launcher.arithmetic());
  std::vector<kernels::Operand> operands(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    operands[i].base = in[i].base();
    fill(operands[i].stride, grid.strides[i]);
  }
  Arrays arrays;
  std::vector<kernels::Result> results;
  for (std::size_t i = 0; i < out.size(); ++i) {
    arrays.push_back(launcher.make(out[i]));
    results.push_back({arrays.back().base(), op.expr.results[i]});
  }
  const auto on_device_steps = launcher.copied(steps);
  const auto on_device_operands = launcher.copied(operands);
  const auto on_device_results = launcher.copied(results);
  given.steps = static_cast<const kernels::Step*>(on_device_steps->pointer());
  given.operands = static_cast<const kernels::Operand*>(on_device_operands->pointer());
  given.results = static_cast<const kernels::Result*>(on_device_results->pointer());
  given.fault = launcher.fault();
  given.step_count = static_cast<Int>(steps.size());
  given.result_count = static_cast<Int>(results.size());
  launcher.launch("pointwise", given, given.count);
  launcher.check_faults();
  return arrays;
}

Arrays run(const graph::Reshape&, const Inputs& in, const Types& out, const Launcher&) {
  return {{out[0], in[0].carrier, in[0].memory}};
}

Arrays run(const graph::Transpose& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  const Strides own = graph::row_major_strides(in[0].type.shape);
  Strides strides;
  for (const std::int32_t axis : op.permutation) strides.push_back(own[static_cast<std::size_t>(axis)]);
  return {strided(launcher, in[0], out[0], strides, 0)};
}

Arrays run(const graph::Slice& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  Strides strides = graph::row_major_strides(in[0].type.shape);
  std::int64_t offset = 0;
  for (std::size_t d = 0; d < strides.size(); ++d) {
    offset += op.starts[d] * strides[d];
    strides[d] = op.extents[d] > 1 ? strides[d] * op.steps[d] : 0;
  }
  return {strided(launcher, in[0], out[0], strides, offset)};
}

Arrays run(const graph::Expand&, const Inputs& in, const Types& out, const Launcher& launcher) {
  return {strided(launcher, in[0], out[0], broadcast_strides(in[0].type.shape, out[0].shape), 0)};
}

Arrays run(const graph::Concat& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  Array y = launcher.make(out[0]);
  const Strides to = graph::row_major_strides(out[0].shape);
  std::int64_t begin = 0;
  for (const Array& x : in) {
    move(launcher, x, y, x.type.shape, graph::row_major_strides(x.type.shape), 0, to,
         begin * to[static_cast<std::size_t>(op.axis)]);
    begin += x.type.shape[static_cast<std::size_t>(op.axis)];
  }
  return {y};
}

Arrays run(const graph::Pad& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  Array y = launcher.make(out[0]);
  const Strides to = graph::row_major_strides(out[0].shape);
  move(launcher, in[1], y, out[0].shape, Strides(to.size(), 0), 0, to, 0);
  std::int64_t first = 0;
  for (std::size_t d = 0; d < to.size(); ++d) first += op.before[d] * to[d];
  move(launcher, in[0], y, in[0].type.shape, graph::row_major_strides(in[0].type.shape), 0, to, first);
  return {y};
}

Arrays run(const graph::Gather& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  Array y = launcher.make(out[0]);
  const Shape& data = in[0].type.shape;
  kernels::GatherArguments given{};
  given.x = in[0].base();
  given.indices = static_cast<const Int*>(in[1].base());
  given.y = y.base();
  given.fault = launcher.fault();
  given.count = y.count();
  given.axis = data[static_cast<std::size_t>(op.axis)];
  given.inner = count_behind(data, static_cast<std::size_t>(op.axis));
  given.index_count = in[1].count();
  launcher.launch("gather", y.carrier, given, given.count);
  launcher.check_faults();
  return {y};
}

Arrays run(const graph::Scatter& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  const Array y = strided(launcher, in[0], out[0], graph::row_major_strides(out[0].shape), 0);
  kernels::ScatterArguments given{};
  given.y = y.base();
  given.indices = static_cast<const Int*>(in[1].base());
  given.updates = in[2].base();
  given.fault = launcher.fault();
  given.rows = out[0].shape[0];
  given.width = count_behind(out[0].shape, 0);
  given.update_count = in[1].count();
  given.combine = static_cast<Int>(op.combine);
  given.type = static_cast<Int>(out[0].dtype);
  launcher.launch("scatter", y.carrier, given, given.width);
  launcher.check_faults();
  return {y};
}

}  // namespace kiln::worker::device
