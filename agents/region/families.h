// What the families' lowerings share: the picked dimensions of a kernel, and one function per family. Internal to this
// room.
#pragma once

#include <functional>
#include <initializer_list>
#include <vector>

#include "agents/region/lowering.h"

namespace kiln::agents {

// The group of the axes that a kernel repeats over, in every family.
constexpr int kBatch = 0;

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

// Every access of the walk, after `more`.
[[nodiscard]] std::vector<const RawAccess*> pointers(const Walk& walk,
                                                     std::initializer_list<const RawAccess*> more = {});
// Coalesces the axes in the order of the space.
[[nodiscard]] Picker pick(const IterationSpace& space, std::vector<const RawAccess*> accesses);
[[nodiscard]] std::vector<std::size_t> joined(std::vector<std::size_t> a, std::initializer_list<std::size_t> b);
// Throws Unfoldable unless the walk wrote its computed value and nothing else: for families without an epilogue.
void require_no_epilogue(const Walk& walk);

// The dense write of a node's result behind nothing but reshapes; absent when no region output is that result. Throws
// Unfoldable when some region output is none of the node's results.
[[nodiscard]] std::vector<std::optional<Access>> dense_writes(const Region& region, const graph::Node& anchor);
// The read of an input whose elements follow each other; throws Unfoldable when a view before it moves them apart.
[[nodiscard]] Access dense_read(const Region& region, graph::ValueId value);

// How one family sees a region: the dimensions of its iteration space, and the kernel over a space that may have been
// split since. `kernel` throws Split and Unfoldable; it is empty when the family does not compute the region.
struct Family {
  std::function<void(IterationSpace&)> dimensions;
  std::function<Kernel(const IterationSpace&)> kernel;
};
[[nodiscard]] Family pointwise_family(const Region& region);
[[nodiscard]] Family row_family(const Region& region, const graph::Node& anchor);
[[nodiscard]] Family matmul_family(const Region& region, const graph::Node& anchor);
[[nodiscard]] Family attention_family(const Region& region, const graph::Node& anchor);
[[nodiscard]] Family gather_family(const Region& region, const graph::Node& anchor);
[[nodiscard]] Family concat_family(const Region& region, const graph::Node& anchor);
[[nodiscard]] Family convolution_family(const Region& region, const graph::Node& anchor);
[[nodiscard]] Family window_family(const Region& region, const graph::Node& anchor);
[[nodiscard]] Family pad_family(const Region& region, const graph::Node& anchor);
[[nodiscard]] Family line_family(const Region& region, const graph::Node& anchor);
[[nodiscard]] Family scatter_family(const Region& region, const graph::Node& anchor);
[[nodiscard]] Family recurrent_family(const Region& region, const graph::Node& anchor);

// The kernel of a product or a convolution whose results are reduced in the same region (statistics.cpp).
[[nodiscard]] std::optional<Kernel> lower_with_statistics(const Region& region);

}  // namespace kiln::agents
