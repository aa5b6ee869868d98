#include <algorithm>
#include <numeric>

#include "agents/region/kernel.h"

namespace kiln::agents {
namespace {

constexpr std::int64_t kAccessBytes = 16;

// `inner` is the extent along which vectors lie; `ragged` says that its last vector may be cut.
std::int64_t widest(const std::vector<const std::vector<Access>*>& groups, std::int64_t inner, bool ragged) {
  std::int64_t count = 1, common = ragged ? 0 : inner;
  for (const std::vector<Access>* accesses : groups) {
    for (const Access& access : *accesses) {
      if (access.strides.empty() || access.strides.back() != 1) continue;
      count = std::max(count, kAccessBytes / static_cast<std::int64_t>(graph::size_of(access.type)));
      common = std::gcd(common, access.offset);
      for (std::size_t d = 0; d + 1 < access.strides.size(); ++d) common = std::gcd(common, access.strides[d]);
    }
  }
  while (count > 1 && common % count != 0) count /= 2;
  return count;
}

}  // namespace

std::int64_t widest_vector(const PointwiseKernel& k) {
  return widest({&k.reads, &k.writes}, k.space.empty() ? 1 : k.space.back(), k.space.size() == 1);
}

std::optional<Transposed> transposed_reads(const PointwiseKernel& k) {
  if (k.space.size() < 2) return std::nullopt;
  for (const Access& write : k.writes)
    if (write.strides.back() != 1) return std::nullopt;
  for (std::size_t d = 0; d + 1 < k.space.size(); ++d) {
    Transposed out{d, {}};
    for (std::size_t i = 0; i < k.reads.size(); ++i)
      if (k.reads[i].strides[d] == 1 && k.reads[i].strides.back() > 1) out.reads.push_back(i);
    if (!out.reads.empty()) return out;
  }
  return std::nullopt;
}

std::int64_t widest_vector(const RowKernel& k) {
  return widest({&k.reads, &k.writes}, along_of(k).back(), false);
}

graph::Shape along_of(const RowKernel& k) { return k.along.empty() ? graph::Shape{k.length} : k.along; }

bool varies_along(const RowKernel& k, const Access& access) {
  return std::any_of(access.strides.begin() + static_cast<std::ptrdiff_t>(k.outer.size()), access.strides.end(),
                     [](auto s) { return s != 0; });
}

bool is_own(const RowKernel& k, const Access& read) {
  if (read.strides.empty() || read.strides.back() == 0) return false;
  const auto rows = read.strides.begin() + static_cast<std::ptrdiff_t>(k.outer.size());
  return k.outer.empty() || std::any_of(read.strides.begin(), rows, [](auto s) { return s != 0; });
}

std::int64_t widest_vector(const LineKernel& k) {
  if (k.after != 1) return 1;
  std::vector<Access> reads;
  for (const Access& read : k.reads)
    reads.push_back({read.buffer, read.type, read.offset, {read.strides[0], read.strides[1]}});
  return widest({&reads}, k.length, false);
}

}  // namespace kiln::agents
