// Kernels that slide over spatial dimensions: convolution, pooling windows and padding.
#include "agents/region/families.h"

namespace kiln::agents {
namespace {

graph::Shape from(const graph::Shape& shape, std::size_t first) {
  return {shape.begin() + static_cast<std::ptrdiff_t>(first), shape.end()};
}

// The groups of a convolution's axes: every dimension has one of its own, so that none merge. Spatial dimensions follow
// the fixed ones: those of the result, of x, and of the window.
enum ConvolutionGroup { kImages = 1, kGroups, kOut, kIn, kSpatial };

Access flat_spatial(const Picker& picked, const RawAccess& raw, std::vector<std::size_t> dims,
                    const std::vector<std::size_t>& spatial) {
  dims.insert(dims.end(), spatial.begin(), spatial.end());
  return picked.access(raw, dims);
}

}  // namespace

Family convolution_family(const Region& region, const graph::Node& anchor) {
  const auto& op = std::get<graph::Convolution>(anchor.op);
  const graph::Shape& x_shape = region.body.type(anchor.inputs[0]).shape;
  const graph::Shape& w_shape = region.body.type(anchor.inputs[1]).shape;
  const graph::Shape& shape = region.body.type(anchor.outputs[0]).shape;
  const std::size_t rank = shape.size() - 2;
  const std::int64_t c = x_shape[1] / op.groups, m = shape[1] / op.groups;
  const auto spatial = [rank](std::size_t which, std::size_t d) {
    return kSpatial + static_cast<int>(which * rank + d);
  };
  return {[&, rank, spatial, c, m](IterationSpace& space) {
            space.add(shape[0], kImages);
            space.add(op.groups, kGroups);
            space.add(m, kOut);
            for (std::size_t d = 0; d < rank; ++d) space.add(shape[d + 2], spatial(0, d));
            space.add(c, kIn);
            for (std::size_t d = 0; d < rank; ++d) space.add(x_shape[d + 2], spatial(1, d));
            for (std::size_t d = 0; d < rank; ++d) space.add(w_shape[d + 2], spatial(2, d));
          },
          [&, rank, spatial, c, m](const IterationSpace& space) -> Kernel {
            Walk walk(region, space, -1);
            const Affine n = space.index(0), g = space.index(1), out = space.index(2), in = space.index(rank + 3);
            const Affine channel = plus(out, g, m), in_channel = plus(in, g, c);
            IndexMap result = {n, channel}, x_map = {n, in_channel};
            IndexMap w_map = op.transposed ? IndexMap{in_channel, out} : IndexMap{channel, in};
            for (std::size_t d = 0; d < rank; ++d) {
              result.push_back(space.index(3 + d));
              x_map.push_back(space.index(4 + rank + d));
              w_map.push_back(space.index(4 + 2 * rank + d));
            }
            const RawAccess x = walk.read(anchor.inputs[0], x_map), w = walk.read(anchor.inputs[1], w_map);
            walk.place(anchor.outputs[0], result, true);
            walk.write_outputs();
            const Picker picked = pick(space, pointers(walk, {&x, &w}));
            const auto all = [&](std::size_t which) {
              std::vector<std::size_t> dims;
              for (std::size_t d = 0; d < rank; ++d) dims.push_back(picked.only(spatial(which, d)));
              return dims;
            };
            const std::size_t dn = picked.only(kImages), dg = picked.only(kGroups), dm = picked.only(kOut);
            const std::size_t dc = picked.only(kIn);
            const std::vector<std::size_t> to = all(0), of = all(1), over = all(2);
            ConvolutionKernel k;
            k.n = shape[0];
            k.groups = op.groups;
            k.m = m;
            k.c = c;
            k.in = from(x_shape, 2);
            k.window = from(w_shape, 2);
            k.out = from(shape, 2);
            k.steps = op.steps;
            k.transposed = op.transposed;
            k.x = flat_spatial(picked, x, {dn, dg, dc}, of);
            k.w = flat_spatial(picked, w, {dg, dm, dc}, over);
            k.w_is_weight = region.weight[static_cast<std::size_t>(w.buffer)];
            for (const RawAccess& read : walk.reads) k.reads.push_back(flat_spatial(picked, read, {dn, dg, dm}, to));
            for (const RawAccess& write : walk.writes)
              k.writes.push_back(flat_spatial(picked, write, {dn, dg, dm}, to));
            k.epilogue = std::move(walk.expr);
            return k;
          }};
}

// The window's own dimensions have a group each; those before it are one.
Family window_family(const Region& region, const graph::Node& anchor) {
  const auto& op = std::get<graph::Window>(anchor.op);
  const graph::Shape& shape = region.body.type(anchor.inputs[0]).shape;
  const std::size_t outer = shape.size() - op.kernel.size();
  return {[&, outer](IterationSpace& space) {
            for (std::size_t d = 0; d < shape.size(); ++d)
              space.add(shape[d], d < outer ? kBatch : 1 + static_cast<int>(d));
          },
          [&, outer](const IterationSpace& space) -> Kernel {
            const Walk walk(region, space, -1);
            const RawAccess x = walk.read(anchor.inputs[0], walk.identity(0, shape.size()));
            const Picker picked = pick(space, {&x});
            std::vector<std::size_t> dims = {picked.only(kBatch)};
            for (std::size_t d = outer; d < shape.size(); ++d) dims.push_back(picked.only(1 + static_cast<int>(d)));
            WindowKernel k;
            k.op = op;
            k.outer = picked.extent(dims[0]);
            k.in = from(shape, outer);
            k.x = picked.access(x, dims);
            const std::vector<std::optional<Access>> writes = dense_writes(region, anchor);
            k.values = writes[0];
            if (op.positions) k.positions = writes[1];
            return k;
          }};
}

Family pad_family(const Region& region, const graph::Node& anchor) {
  const graph::Shape& shape = region.body.type(anchor.inputs[0]).shape;
  return {[&](IterationSpace& space) {
            for (std::size_t d = 0; d < shape.size(); ++d) space.add(shape[d], static_cast<int>(d));
          },
          [&](const IterationSpace& space) -> Kernel {
            const Walk walk(region, space, -1);
            const RawAccess x = walk.read(anchor.inputs[0], walk.identity(0, shape.size()));
            const Picker picked = pick(space, {&x});
            std::vector<std::size_t> dims;
            for (std::size_t d = 0; d < shape.size(); ++d) dims.push_back(picked.only(static_cast<int>(d)));
            PadKernel k;
            k.op = std::get<graph::Pad>(anchor.op);
            k.in = shape;
            k.out = region.body.type(anchor.outputs[0]).shape;
            k.x = picked.access(x, dims);
            k.value = dense_read(region, anchor.inputs[1]);
            const std::optional<Access> write = dense_writes(region, anchor)[0];
            if (!write) throw Unfoldable{};
            k.write = *write;
            return k;
          }};
}

}  // namespace kiln::agents
