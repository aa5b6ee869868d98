// From a region's body to the kernel that computes it: one function per family. Each names the dimensions of its
// iteration space, says where its anchor's result lies in it, and lets Walk find the accesses and the expression.
#include <algorithm>
#include <functional>

#include "agents/region/lowering.h"

namespace kiln::agents {
namespace {

// Groups of axes; batch is 0 everywhere.
constexpr int kBatch = 0;
constexpr int kMaxSplits = 32;  // far more than any chain of reshapes needs; a bound, so that lowering always ends

// Picks the dimensions of one coalesced access that a kernel's Access has, in order.
class Picker {
 public:
  Picker(Coalesced coalesced, std::vector<const RawAccess*> accesses)
      : c_(std::move(coalesced)), accesses_(std::move(accesses)) {}

  [[nodiscard]] std::vector<std::size_t> group(int g) const { return c_.of_group(g); }
  [[nodiscard]] graph::Shape extents(const std::vector<std::size_t>& dims) const {
    graph::Shape out;
    for (const std::size_t d : dims) out.push_back(c_.extents[d]);
    return out;
  }
  // The one dimension of a group; npos when all its axes had extent 1. Throws Unfoldable when there are several.
  [[nodiscard]] std::size_t only(int g) const {
    const std::vector<std::size_t> dims = group(g);
    if (dims.size() > 1) throw Unfoldable{};
    return dims.empty() ? kAbsent : dims[0];
  }
  [[nodiscard]] std::int64_t extent(std::size_t dim) const { return dim == kAbsent ? 1 : c_.extents[dim]; }
  [[nodiscard]] Access access(const RawAccess& raw, const std::vector<std::size_t>& dims) const {
    const auto at = std::find(accesses_.begin(), accesses_.end(), &raw) - accesses_.begin();
    Access out{raw.buffer, raw.type, raw.address.offset, {}};
    for (const std::size_t d : dims)
      out.strides.push_back(d == kAbsent ? 0 : c_.strides[static_cast<std::size_t>(at)][d]);
    return out;
  }
  [[nodiscard]] std::vector<Access> accesses(const std::vector<RawAccess>& raw,
                                             const std::vector<std::size_t>& dims) const {
    std::vector<Access> out;
    for (const RawAccess& r : raw) out.push_back(access(r, dims));
    return out;
  }

  static constexpr std::size_t kAbsent = static_cast<std::size_t>(-1);

 private:
  Coalesced c_;
  std::vector<const RawAccess*> accesses_;
};

std::vector<const RawAccess*> pointers(const Walk& walk, std::initializer_list<const RawAccess*> more = {}) {
  std::vector<const RawAccess*> out(more);
  for (const RawAccess& r : walk.reads) out.push_back(&r);
  for (const RawAccess& w : walk.writes) out.push_back(&w);
  return out;
}

Picker pick(const IterationSpace& space, std::vector<const RawAccess*> accesses) {
  std::vector<std::pair<std::size_t, int>> order;
  for (std::size_t axis = 0; axis < space.extents().size(); ++axis) order.emplace_back(axis, space.group(axis));
  return {coalesce(space, order, accesses), accesses};
}

std::vector<std::size_t> joined(std::vector<std::size_t> a, std::initializer_list<std::size_t> b) {
  a.insert(a.end(), b);
  return a;
}

graph::ValueId dense_root(const graph::Graph& body, graph::ValueId value) {
  for (bool again = true; again;) {
    again = false;
    for (const graph::Node& node : body.nodes) {
      if (!std::holds_alternative<graph::Reshape>(node.op) || node.outputs[0] != value) continue;
      value = node.inputs[0];
      again = true;
    }
  }
  return value;
}

struct Family {
  std::function<void(IterationSpace&)> dimensions;
  std::function<Kernel(const IterationSpace&)> kernel;
};

// Every output over the shape of the first.
Family pointwise(const Region& region) {
  const graph::ValueId root = dense_root(region.body, region.body.outputs[0]);
  const graph::Shape& shape = region.body.type(root).shape;
  return {[&shape](IterationSpace& space) {
            for (const std::int64_t extent : shape) space.add(extent, kBatch);
          },
          [&region, &shape](const IterationSpace& space) -> Kernel {
            Walk walk(region, space, -1);
            const IndexMap identity = walk.identity(0, shape.size());
            for (const graph::ValueId output : region.body.outputs) {
              const graph::ValueId dense = dense_root(region.body, output);
              const graph::Shape& own = region.body.type(dense).shape;
              if (graph::element_count(own) != graph::element_count(shape)) throw Unfoldable{};
              walk.place(dense, own == shape ? identity : delinearize(space, linear(space, identity, shape), own),
                         false);
            }
            walk.write_outputs();
            const Picker picked = pick(space, pointers(walk));
            std::vector<std::size_t> dims = picked.group(kBatch);
            if (dims.empty()) dims.push_back(Picker::kAbsent);  // one element
            PointwiseKernel k;
            for (const std::size_t d : dims) k.space.push_back(picked.extent(d));
            k.reads = picked.accesses(walk.reads, dims);
            k.writes = picked.accesses(walk.writes, dims);
            k.expr = std::move(walk.expr);
            return k;
          }};
}

// The rows are those of the first reduction; every other one must be over the same rows.
Family row(const Region& region, const graph::Node& anchor) {
  constexpr int kRow = 1;
  const graph::ValueId source = anchor.inputs[0];
  const graph::Shape& shape = region.body.type(source).shape;
  std::vector<std::size_t> axes;
  if (const auto* reduce = std::get_if<graph::Reduce>(&anchor.op)) axes = normalized_axes(reduce->axes, shape.size());
  if (const auto* softmax = std::get_if<graph::Softmax>(&anchor.op))
    axes = normalized_axes({softmax->axis}, shape.size());
  if (const auto* norm = std::get_if<graph::LayerNorm>(&anchor.op))
    for (std::size_t d = normalized_axes({norm->axis}, shape.size())[0]; d < shape.size(); ++d) axes.push_back(d);
  std::vector<std::size_t> order;  // of the source's dimensions in the space: rows first, then along the row
  for (std::size_t d = 0; d < shape.size(); ++d)
    if (std::find(axes.begin(), axes.end(), d) == axes.end()) order.push_back(d);
  const std::size_t outer_rank = order.size();
  order.insert(order.end(), axes.begin(), axes.end());
  return {[&shape, order, outer_rank](IterationSpace& space) {
            for (std::size_t i = 0; i < order.size(); ++i) space.add(shape[order[i]], i < outer_rank ? kBatch : kRow);
          },
          [&region, source, order](const IterationSpace& space) -> Kernel {
            Walk walk(region, space, kRow);
            IndexMap map(order.size());
            for (std::size_t i = 0; i < order.size(); ++i) map[order[i]] = space.index(i);
            walk.place(source, std::move(map), false);
            walk.write_outputs();
            const Picker picked = pick(space, pointers(walk));
            const std::vector<std::size_t> outer = picked.group(kBatch);
            const std::size_t along = picked.only(kRow);
            RowKernel k;
            k.outer = picked.extents(outer);
            k.length = picked.extent(along);
            k.reads = picked.accesses(walk.reads, joined(outer, {along}));
            k.writes = picked.accesses(walk.writes, joined(outer, {along}));
            k.write_per_row = walk.write_per_row;
            k.expr = std::move(walk.expr);
            return k;
          }};
}

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

Family matmul(const Region& region, const graph::Node& anchor) {
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

Family attention(const Region& region, const graph::Node& anchor) {
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
            // The family has one result and no epilogue.
            const graph::ExprNode& only = walk.expr.nodes[static_cast<std::size_t>(walk.expr.results[0])];
            if (walk.writes.size() != 1 || only.op != graph::ExprOp::operand || only.operand != 0) throw Unfoldable{};
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
            out.q = picked.access(q, joined(batch, {ds, dd}));
            out.k = picked.access(k, joined(batch, {dt, dd}));
            out.v = picked.access(v, joined(batch, {dt, de}));
            if (mask) out.mask = picked.access(*mask, joined(batch, {ds, dt}));
            out.out = picked.access(walk.writes[0], joined(batch, {ds, de}));
            return out;
          }};
}

Family gather(const Region& region, const graph::Node& anchor) {
  constexpr int kIndex = 1, kInner = 2, kAxis = 3;
  const graph::Shape& data_shape = region.body.type(anchor.inputs[0]).shape;
  const graph::Shape& index_shape = region.body.type(anchor.inputs[1]).shape;
  const std::size_t axis = normalized_axes({std::get<graph::Gather>(anchor.op).axis}, data_shape.size())[0];
  return {[&, axis](IterationSpace& space) {
            for (std::size_t d = 0; d < axis; ++d) space.add(data_shape[d], kBatch);
            for (const std::int64_t extent : index_shape) space.add(extent, kIndex);
            for (std::size_t d = axis + 1; d < data_shape.size(); ++d) space.add(data_shape[d], kInner);
            space.add(data_shape[axis], kAxis);
          },
          [&, axis](const IterationSpace& space) -> Kernel {
            Walk walk(region, space, -1);
            const std::size_t rank = data_shape.size() + index_shape.size() - 1;
            const IndexMap result = walk.identity(0, rank);
            IndexMap data_map(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(axis));
            data_map.push_back(space.index(rank));
            data_map.insert(data_map.end(), result.begin() + static_cast<std::ptrdiff_t>(axis + index_shape.size()),
                            result.end());
            const RawAccess data = walk.read(anchor.inputs[0], data_map);
            const RawAccess indices = walk.read(anchor.inputs[1], walk.identity(axis, index_shape.size()));
            walk.place(anchor.outputs[0], result, true);
            walk.write_outputs();
            const Picker picked = pick(space, pointers(walk, {&data, &indices}));
            const std::size_t outer = picked.only(kBatch), index = picked.only(kIndex), inner = picked.only(kInner);
            const std::size_t along = picked.only(kAxis);
            GatherKernel k;
            k.outer = picked.extent(outer);
            k.axis = picked.extent(along);
            k.inner = picked.extent(inner);
            k.index_count = picked.extent(index);
            k.data = picked.access(data, {outer, along, inner});
            k.indices = picked.access(indices, {index});
            k.reads = picked.accesses(walk.reads, {outer, index, inner});
            k.writes = picked.accesses(walk.writes, {outer, index, inner});
            k.epilogue = std::move(walk.expr);
            return k;
          }};
}

// Each source has an axis of its own for the dimension along which they are joined: its extent is its own.
Family concat(const Region& region, const graph::Node& anchor) {
  constexpr int kAlong = 1, kAfter = 2, kFirstSource = 3;
  const graph::Shape& shape = region.body.type(anchor.outputs[0]).shape;
  const std::size_t axis = normalized_axes({std::get<graph::Concat>(anchor.op).axis}, shape.size())[0];
  const std::size_t rank = shape.size();
  return {[&, axis, rank](IterationSpace& space) {
            for (std::size_t d = 0; d < rank; ++d) space.add(shape[d], d < axis ? kBatch : d == axis ? kAlong : kAfter);
            for (std::size_t s = 0; s < anchor.inputs.size(); ++s)
              space.add(region.body.type(anchor.inputs[s]).shape[axis], kFirstSource + static_cast<int>(s));
          },
          [&, axis, rank](const IterationSpace& space) -> Kernel {
            Walk walk(region, space, -1);
            const IndexMap result = walk.identity(0, rank);
            std::vector<RawAccess> sources;
            for (std::size_t s = 0; s < anchor.inputs.size(); ++s) {
              IndexMap map = result;
              map[axis] = space.index(rank + s);
              sources.push_back(walk.read(anchor.inputs[s], map));
            }
            walk.place(anchor.outputs[0], result, true);
            walk.write_outputs();
            const graph::ExprNode& only = walk.expr.nodes[static_cast<std::size_t>(walk.expr.results[0])];
            if (walk.writes.size() != 1 || only.op != graph::ExprOp::operand || only.operand != 0) throw Unfoldable{};
            std::vector<const RawAccess*> accesses = pointers(walk);
            for (const RawAccess& source : sources) accesses.push_back(&source);
            const Picker picked = pick(space, accesses);
            std::vector<std::size_t> before = picked.group(kBatch), after = picked.group(kAfter);
            const std::size_t along = picked.only(kAlong);
            const auto dims = [&](std::size_t middle) {
              std::vector<std::size_t> all = joined(before, {middle});
              all.insert(all.end(), after.begin(), after.end());
              return all;
            };
            ConcatKernel k;
            k.axis = static_cast<std::int32_t>(before.size());
            for (const std::size_t d : dims(along)) k.space.push_back(picked.extent(d));
            std::int64_t begin = 0;
            for (std::size_t s = 0; s < sources.size(); ++s) {
              const std::size_t own = picked.only(kFirstSource + static_cast<int>(s));
              const std::int64_t extent = region.body.type(anchor.inputs[s]).shape[axis];
              k.sources.push_back({picked.access(sources[s], dims(own)), begin, extent});
              begin += extent;
            }
            k.write = picked.access(walk.writes[0], dims(along));
            return k;
          }};
}

// nullopt: more than one anchor, or one beside row reductions.
std::optional<Family> family_of(const Region& region) {
  const graph::Node* anchor = nullptr;
  const graph::Node* first_row = nullptr;
  for (const graph::Node& node : region.body.nodes) {
    if (graph::is_view(node.op) || std::holds_alternative<graph::Pointwise>(node.op)) continue;
    const bool reduces = std::holds_alternative<graph::Reduce>(node.op) ||
                         std::holds_alternative<graph::Softmax>(node.op) ||
                         std::holds_alternative<graph::LayerNorm>(node.op);
    if (reduces && !first_row) first_row = &node;
    if (reduces) continue;
    if (anchor) return std::nullopt;
    anchor = &node;
  }
  if (anchor && first_row) return std::nullopt;
  if (first_row) return row(region, *first_row);
  if (!anchor) return pointwise(region);
  if (std::holds_alternative<graph::MatMul>(anchor->op)) return matmul(region, *anchor);
  if (std::holds_alternative<graph::Attention>(anchor->op)) return attention(region, *anchor);
  if (std::holds_alternative<graph::Gather>(anchor->op)) return gather(region, *anchor);
  if (std::holds_alternative<graph::Concat>(anchor->op)) return concat(region, *anchor);
  return std::nullopt;  // no family of kernels computes it
}

}  // namespace

std::optional<Kernel> lower(const Region& region) {
  if (region.body.outputs.empty()) return std::nullopt;
  const std::optional<Family> family = family_of(region);
  if (!family || !family->kernel) return std::nullopt;
  IterationSpace space;
  family->dimensions(space);
  for (int attempt = 0; attempt < kMaxSplits; ++attempt) {
    try {
      return family->kernel(space);
    } catch (const Split& cut) {
      space.split(cut);
    } catch (const Unfoldable&) {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace kiln::agents
