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

Streamed streamed(const MatmulKernel& k) {
  const auto along_k_last = [](Access access) {
    if (access.strides.size() > 1) std::swap(access.strides.end()[-1], access.strides.end()[-2]);
    return access;
  };
  Streamed out;
  out.is_b = k.n > k.m;
  out.many = out.is_b ? k.n : k.m;
  out.few = out.is_b ? k.m : k.n;
  out.stream = out.is_b ? along_k_last(k.b) : k.a;
  out.kept = out.is_b ? k.a : along_k_last(k.b);
  const auto of = [](const Access& access, std::int64_t extent) -> std::int64_t {
    if (access.strides.empty() || access.strides.back() != 1) return 0;
    const std::vector<Access> alone = {access};
    return widest({&alone}, extent, false);
  };
  out.vector_along_k = of(out.stream, k.k);
  out.vector_across = of(along_k_last(out.stream), out.many);
  out.kept_vector = std::max<std::int64_t>(1, of(out.kept, k.k));
  return out;
}

std::int64_t widest_vector(const LineKernel& k) {
  if (k.after != 1) return 1;
  std::vector<Access> reads;
  for (const Access& read : k.reads)
    reads.push_back({read.buffer, read.type, read.offset, {read.strides[0], read.strides[1]}});
  return widest({&reads}, k.length, false);
}

}  // namespace kiln::agents
