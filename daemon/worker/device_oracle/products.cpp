// Matrix products, attention as its parts, convolutions, windows.
#include <algorithm>
#include <limits>

#include "daemon/worker/device_oracle/device_array.h"

namespace kiln::worker::device {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Shape leading(const Shape& shape) { return {shape.begin(), shape.end() - 2}; }

// Over a stack of matrices, in elements.
Strides stack_strides(const Shape& shape, const Shape& batch) {
  Strides strides = broadcast_strides(leading(shape), batch);
  for (std::int64_t& stride : strides) stride *= shape[shape.size() - 2] * shape.back();
  return strides;
}

struct Sides {
  bool transpose_a, transpose_b;
  Int type;
};

constexpr std::int64_t kManyRows = 16;

Array transposed(const Launcher& launcher, const Array& x) {
  graph::Transpose op;
  graph::TensorType type = x.type;
  for (std::size_t d = 0; d < type.shape.size(); ++d) op.permutation.push_back(static_cast<std::int32_t>(d));
  std::swap(op.permutation[type.shape.size() - 2], op.permutation.back());
  std::swap(type.shape[type.shape.size() - 2], type.shape.back());
  return run(op, {x}, {type}, launcher).front();
}

// c = a b over the leading dimensions of c.
void multiply(const Launcher& launcher, const Array& a, const Array& b, const Array& c, const Sides& sides) {
  // Neighbouring threads read neighbouring columns of b.
  if (sides.transpose_b && c.type.shape[c.type.shape.size() - 2] >= kManyRows)
    return multiply(launcher, a, transposed(launcher, b), c, {sides.transpose_a, false, sides.type});
  const Shape& shape = c.type.shape;
  const Shape batch = leading(shape);
  const Shape& of_a = a.type.shape;
  const Grid grid = collapsed(batch, {stack_strides(of_a, batch), stack_strides(b.type.shape, batch)});
  kernels::ProductArguments given{};
  given.a = a.base();
  given.b = b.base();
  given.c = c.base();
  given.batches = graph::element_count(batch);
  fill(given.rank, given.extent, grid);
  fill(given.a_stride, grid.strides[0]);
  fill(given.b_stride, grid.strides[1]);
  given.m = shape[shape.size() - 2];
  given.n = shape.back();
  given.k = of_a[of_a.size() - (sides.transpose_a ? 2 : 1)];
  given.a_row = sides.transpose_a ? 1 : given.k;
  given.a_column = sides.transpose_a ? given.m : 1;
  given.b_row = sides.transpose_b ? 1 : given.n;
  given.b_column = sides.transpose_b ? given.k : 1;
  given.type = sides.type;
  launcher.launch("matmul", c.carrier, given, c.count());
}

// Leading dimensions of 1 fill up to those of the kernels.
void fill_space(Int (&to)[kernels::kSpace], const Shape& from, Int missing) {
  std::fill(to, to + kernels::kSpace, missing);
  std::copy(from.begin(), from.end(), to + kernels::kSpace - static_cast<std::ptrdiff_t>(from.size()));
}

kernels::Space space_of(const Shape& in, const Shape& out, const Shape& kernel, const graph::Steps& steps) {
  kernels::Space space{};
  fill_space(space.in, in, 1);
  fill_space(space.out, out, 1);
  fill_space(space.kernel, kernel, 1);
  fill_space(space.stride, steps.strides, 1);
  fill_space(space.dilation, steps.dilations, 1);
  fill_space(space.before, steps.before, 0);
  fill_space(space.after, steps.after, 0);
  return space;
}

Shape behind(const Shape& shape, std::size_t begin) {
  return {shape.begin() + static_cast<std::ptrdiff_t>(begin), shape.end()};
}

}  // namespace

Arrays run(const graph::MatMul& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  Array c = launcher.make(out[0]);
  multiply(launcher, in[0], in[1], c, {op.transpose_a, op.transpose_b, static_cast<Int>(out[0].dtype)});
  return {c};
}

Arrays run(const graph::Attention& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  const Shape& k = in[1].type.shape;
  Shape shape = leading(out[0].shape);
  shape.push_back(out[0].shape[out[0].shape.size() - 2]);
  shape.push_back(k[k.size() - 2]);
  const Array scores = launcher.make({out[0].dtype, shape});
  multiply(launcher, in[0], in[1], scores, {false, true, kernels::type_exact});

  kernels::ScoreArguments given{};
  given.x = scores.base();
  given.mask = in.size() > 3 ? in[3].base() : nullptr;
  given.count = scores.count();
  const Strides mask = in.size() > 3 ? broadcast_strides(in[3].type.shape, shape) : Strides(shape.size(), 0);
  const Grid grid = collapsed(shape, {mask});
  fill(given.rank, given.extent, grid);
  fill(given.mask_stride, grid.strides[0]);
  given.s = shape[shape.size() - 2];
  given.t = shape.back();
  given.causal = op.causal;
  given.scale = op.scale;
  given.infinity = kInfinity;
  launcher.launch("scores", scores.carrier, given, given.count);

  const Array weights = softmax(launcher, scores, shape.size() - 1, false, kernels::type_exact);
  if (op.guarded) {
    given.x = weights.base();
    launcher.launch("guard", weights.carrier, given, given.count);
  }
  Array y = launcher.make(out[0]);
  multiply(launcher, weights, in[2], y, {false, false, static_cast<Int>(out[0].dtype)});
  return {y};
}

Arrays run(const graph::Convolution& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  Array y = launcher.make(out[0]);
  const Shape& x = in[0].type.shape;
  kernels::ConvolutionArguments given{};
  given.x = in[0].base();
  given.w = in[1].base();
  given.y = y.base();
  given.images = x[0];
  given.groups = op.groups;
  given.in_channels = x[1] / op.groups;
  given.out_channels = out[0].shape[1] / op.groups;
  given.space = space_of(behind(x, 2), behind(out[0].shape, 2), behind(in[1].type.shape, 2), op.steps);
  given.transposed = op.transposed;
  given.type = static_cast<Int>(out[0].dtype);
  const Int stacks = (given.out_channels + kernels::kChannelsOfThread - 1) / kernels::kChannelsOfThread;
  launcher.launch("convolution", y.carrier, given, y.count() / given.out_channels * stacks);
  return {y};
}

Arrays run(const graph::Window& op, const Inputs& in, const Types& out, const Launcher& launcher) {
  Arrays results = {launcher.make(out[0])};
  if (op.positions) results.push_back(launcher.make(out[1]));
  const Shape& x = in[0].type.shape;
  const Shape moved = behind(x, x.size() - op.kernel.size());
  kernels::WindowArguments given{};
  given.x = in[0].base();
  given.y = results[0].base();
  given.positions = op.positions ? static_cast<Int*>(results[1].base()) : nullptr;
  given.planes = in[0].count() / graph::element_count(moved);
  given.space = space_of(moved, op.extents, op.kernel, op.steps);
  given.monoid = static_cast<Int>(op.monoid);
  given.counts_padding = op.counts_padding;
  given.type = static_cast<Int>(out[0].dtype);
  given.infinity = kInfinity;
  launcher.launch("window", results[0].carrier, given, results[0].count());
  return results;
}

}  // namespace kiln::worker::device
