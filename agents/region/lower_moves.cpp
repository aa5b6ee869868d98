// Kernels that move elements by index or side by side: gather and concat.
#include "agents/region/families.h"

namespace kiln::agents {

Family gather_family(const Region& region, const graph::Node& anchor) {
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
Family concat_family(const Region& region, const graph::Node& anchor) {
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
            require_no_epilogue(walk);
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

}  // namespace kiln::agents
