// Kernels around products: matmul and attention.
#include "agents/region/families.h"

namespace kiln::agents {
namespace {

// Batch axes along which b does not move become rows of a, when a, the operands and the results allow one stride. What
// does not merge into one m or n stays a batch axis.
Kernel matmul_kernel(const Region& region, const IterationSpace& space, Walk& walk, const RawAccess& a,
                     const RawAccess& b) {
  constexpr int kM = 1, kN = 2, kK = 3;
  std::vector<std::pair<std::size_t, int>> order;
  for (const bool moves : {true, false})
    for (std::size_t axis = 0; axis < space.extents().size(); ++axis)
      if (space.group(axis) == kBatch && (b.address.strides[axis] != 0) == moves)
        order.emplace_back(axis, moves ? kBatch : kM);
  for (const int group : {kM, kN, kK})
    for (std::size_t axis = 0; axis < space.extents().size(); ++axis)
      if (space.group(axis) == group) order.emplace_back(axis, group);
  const std::vector<const RawAccess*> accesses = pointers(walk, {&a, &b});
  const Picker picked(coalesce(space, order, accesses), accesses);
  std::vector<std::size_t> batch = picked.group(kBatch);
  const auto innermost = [&](int group) {
    const std::vector<std::size_t> dims = picked.group(group);
    if (dims.empty()) return Picker::kAbsent;
    batch.insert(batch.end(), dims.begin(), dims.end() - 1);
    return dims.back();
  };
  const std::size_t m = innermost(kM), n = innermost(kN), k = picked.only(kK);
  MatmulKernel out;
  out.batch = picked.extents(batch);
  out.m = picked.extent(m);
  out.n = picked.extent(n);
  out.k = picked.extent(k);
  out.a = picked.access(a, joined(batch, {m, k}));
  out.b = picked.access(b, joined(batch, {k, n}));
  out.b_is_weight = region.weight[static_cast<std::size_t>(b.buffer)];
  out.reads = picked.accesses(walk.reads, joined(batch, {m, n}));
  out.writes = picked.accesses(walk.writes, joined(batch, {m, n}));
  out.epilogue = std::move(walk.expr);
  return out;
}

}  // namespace

Family matmul_family(const Region& region, const graph::Node& anchor) {
  const graph::MatMul& op = std::get<graph::MatMul>(anchor.op);
  const graph::Shape& shape = region.body.type(anchor.outputs[0]).shape;
  const graph::Shape& a_shape = region.body.type(anchor.inputs[0]).shape;
  const graph::Shape& b_shape = region.body.type(anchor.inputs[1]).shape;
  if (a_shape.size() < 2 || b_shape.size() < 2) return {};
  const std::size_t rank = shape.size();
  return {[&shape, &a_shape, &op, rank](IterationSpace& space) {
            for (std::size_t d = 0; d < rank; ++d) space.add(shape[d], d + 2 < rank ? kBatch : d + 2 == rank ? 1 : 2);
            space.add(a_shape[a_shape.size() - (op.transpose_a ? 2 : 1)], 3);
          },
          [&region, &anchor, &shape, &a_shape, &b_shape, &op, rank](const IterationSpace& space) -> Kernel {
            Walk walk(region, space, -1);
            const IndexMap result = walk.identity(0, rank);
            const Affine m = result[rank - 2], n = result[rank - 1], k = space.index(rank);
            const auto operand = [&](const graph::Shape& of, const Affine& rows, const Affine& columns) {
              const graph::Shape batch(of.begin(), of.end() - 2), result_batch(shape.begin(), shape.end() - 2);
              IndexMap map = broadcast_map(space, {result.begin(), result.end() - 2}, batch, result_batch);
              map.push_back(rows);
              map.push_back(columns);
              return map;
            };
            const RawAccess a =
                walk.read(anchor.inputs[0], op.transpose_a ? operand(a_shape, k, m) : operand(a_shape, m, k));
            const RawAccess b =
                walk.read(anchor.inputs[1], op.transpose_b ? operand(b_shape, n, k) : operand(b_shape, k, n));
            walk.place(anchor.outputs[0], result, true);
            walk.write_outputs();
            return matmul_kernel(region, space, walk, a, b);
          }};
}

Family attention_family(const Region& region, const graph::Node& anchor) {
  constexpr int kS = 1, kE = 2, kT = 3, kD = 4;
  const graph::Attention& op = std::get<graph::Attention>(anchor.op);
  const graph::Shape& shape = region.body.type(anchor.outputs[0]).shape;
  const graph::Shape& q_shape = region.body.type(anchor.inputs[0]).shape;
  const graph::Shape& k_shape = region.body.type(anchor.inputs[1]).shape;
  const std::size_t rank = shape.size();
  return {[&, rank](IterationSpace& space) {
            for (std::size_t d = 0; d + 2 < rank; ++d) space.add(shape[d], kBatch);
            space.add(shape[rank - 2], kS);
            space.add(shape[rank - 1], kE);
            space.add(k_shape[k_shape.size() - 2], kT);
            space.add(q_shape.back(), kD);
          },
          [&, rank](const IterationSpace& space) -> Kernel {
            Walk walk(region, space, -1);
            const IndexMap result = walk.identity(0, rank);
            const Affine s = result[rank - 2], e = result[rank - 1], t = space.index(rank), d = space.index(rank + 1);
            const graph::Shape result_batch(shape.begin(), shape.end() - 2);
            const auto operand = [&](graph::ValueId value, const Affine& rows, const Affine& columns) {
              const graph::Shape& of = region.body.type(value).shape;
              IndexMap map =
                  broadcast_map(space, {result.begin(), result.end() - 2}, {of.begin(), of.end() - 2}, result_batch);
              map.push_back(rows);
              map.push_back(columns);
              return walk.read(value, map);
            };
            const RawAccess q = operand(anchor.inputs[0], s, d), k = operand(anchor.inputs[1], t, d);
            const RawAccess v = operand(anchor.inputs[2], t, e);
            std::optional<RawAccess> mask;
            if (anchor.inputs.size() > 3) {
              graph::Shape scores = result_batch;
              scores.push_back(shape[rank - 2]);
              scores.push_back(k_shape[k_shape.size() - 2]);
              IndexMap at = result;
              at[rank - 1] = t;
              const graph::Shape& of = region.body.type(anchor.inputs[3]).shape;
              mask = walk.read(anchor.inputs[3], broadcast_map(space, at, of, scores));
            }
            walk.place(anchor.outputs[0], result, true);
            walk.write_outputs();
            require_no_epilogue(walk);
            std::vector<const RawAccess*> accesses = pointers(walk, {&q, &k, &v});
            if (mask) accesses.push_back(&*mask);
            const Picker picked = pick(space, accesses);
            const std::vector<std::size_t> batch = picked.group(kBatch);
            const std::size_t ds = picked.only(kS), de = picked.only(kE), dt = picked.only(kT), dd = picked.only(kD);
            AttentionKernel out;
            out.batch = picked.extents(batch);
            out.s = picked.extent(ds);
            out.t = picked.extent(dt);
            out.d = picked.extent(dd);
            out.e = picked.extent(de);
            out.scale = op.scale;
            out.causal = op.causal;
            out.guarded = op.guarded;
            out.q = picked.access(q, joined(batch, {ds, dd}));
            out.k = picked.access(k, joined(batch, {dt, dd}));
            out.v = picked.access(v, joined(batch, {dt, de}));
            if (mask) out.mask = picked.access(*mask, joined(batch, {ds, dt}));
            out.out = picked.access(walk.writes[0], joined(batch, {ds, de}));
            return out;
          }};
}

}  // namespace kiln::agents
