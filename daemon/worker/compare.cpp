#include "daemon/worker/compare.h"

#include <cmath>
#include <vector>

#include "runtime/base/parallel.h"

namespace kiln::worker {
namespace {

// Both finite and comparable, or the same infinity, or both NaN.
bool same_kind(double value, double expected) {
  if (std::isnan(expected)) return std::isnan(value);
  if (std::isinf(expected)) return value == expected;
  return std::isfinite(value);
}

struct Sums {
  long double squared = 0;  // its exponent has room for the squares of denormal and of huge doubles
  double worst = 0;
  std::int64_t worst_index = 0;
  void add(double error, std::int64_t i) {
    squared += static_cast<long double>(error) * error;
    if (!(error <= worst)) {
      worst = error;
      worst_index = i;
    }
  }
  void add(const Sums& later) {
    squared += later.squared;
    if (later.worst <= worst) return;
    worst = later.worst;
    worst_index = later.worst_index;
  }
};

// What a stretch of elements says of the whole.
struct Errors {
  Sums candidate, reference;
  long double squared = 0;
  std::int64_t finite = 0, mismatched = 0, first_mismatch = 0;
};

struct Comparison {
  graph::DType type, expected_type;
  const std::byte *output, *plain, *expected;

  [[nodiscard]] double want(std::int64_t i) const { return graph::load_double(expected_type, expected, i); }
  [[nodiscard]] double got(std::int64_t i) const { return graph::load_double(type, output, i); }
  [[nodiscard]] double naive(std::int64_t i) const { return graph::load_double(type, plain, i); }

  void add(std::int64_t i, Errors& errors) const {
    const double right = want(i), value = got(i), simple = naive(i);
    if (!same_kind(value, right)) {
      // What overflows the model's own type in a plain evaluation may overflow in a candidate.
      if (same_kind(value, simple) && !std::isfinite(simple)) return;
      if (errors.mismatched++ == 0) errors.first_mismatch = i;
      return;
    }
    if (!std::isfinite(right)) return;
    ++errors.finite;
    errors.squared += static_cast<long double>(right) * right;
    errors.candidate.add(std::abs(value - right), i);
    if (std::isfinite(simple)) errors.reference.add(std::abs(simple - right), i);
  }
};

// The same sums whatever the number of threads: stretches are added in their order.
Errors sum(const std::vector<Errors>& parts) {
  Errors all;
  for (const Errors& part : parts) {
    if (all.mismatched == 0) all.first_mismatch = part.first_mismatch;
    all.mismatched += part.mismatched;
    all.finite += part.finite;
    all.squared += part.squared;
    all.candidate.add(part.candidate);
    all.reference.add(part.reference);
  }
  return all;
}

constexpr std::int64_t kStretch = 1 << 18;  // elements

double finite_or_zero(double x) { return std::isfinite(x) ? x : 0; }

}  // namespace

agents::ErrorFact compare_output(std::span<const std::byte> output, const graph::Tensor& plain,
                                 const graph::Tensor& expected, int threads) {
  const Comparison of{plain.type.dtype, expected.type.dtype, output.data(), plain.bytes.data(), expected.bytes.data()};
  std::vector<Errors> parts(static_cast<std::size_t>((expected.count() + kStretch - 1) / kStretch));
  parallel(threads, expected.count(), kStretch, [&](std::int64_t begin, std::int64_t end) {
    Errors& errors = parts[static_cast<std::size_t>(begin / kStretch)];
    for (std::int64_t i = begin; i < end; ++i) of.add(i, errors);
  });
  const Errors all = sum(parts);
  agents::ErrorFact fact;
  const auto norm = static_cast<double>(std::sqrt(all.squared));
  const double rms = all.finite > 0 ? norm / std::sqrt(static_cast<double>(all.finite)) : 0;
  fact.normwise = static_cast<double>(std::sqrt(all.candidate.squared)) / (norm > 0 ? norm : 1);
  fact.normwise_plain = static_cast<double>(std::sqrt(all.reference.squared)) / (norm > 0 ? norm : 1);
  fact.max_scaled = all.candidate.worst / (rms > 0 ? rms : 1);
  fact.max_scaled_plain = all.reference.worst / (rms > 0 ? rms : 1);
  fact.mismatched_nonfinite = all.mismatched;
  if (all.mismatched == 0 && all.finite == 0) return fact;
  fact.worst_index = all.mismatched > 0 ? all.first_mismatch : all.candidate.worst_index;
  fact.worst_value = finite_or_zero(of.got(fact.worst_index));
  fact.worst_expected = finite_or_zero(of.want(fact.worst_index));
  return fact;
}

}  // namespace kiln::worker
