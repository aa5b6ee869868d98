#include "daemon/worker/compare.h"

#include <cmath>

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
};

}  // namespace

agents::ErrorFact compare_output(std::span<const std::byte> output, const graph::Tensor& plain,
                                 const graph::Tensor& expected) {
  agents::ErrorFact fact;
  const std::int64_t count = expected.count();
  const graph::DType type = plain.type.dtype;
  Sums candidate, reference;
  long double squared = 0;
  std::int64_t finite = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double want = graph::load_double(expected.type.dtype, expected.bytes.data(), i);
    const double got = graph::load_double(type, output.data(), i);
    const double naive = graph::load_double(type, plain.bytes.data(), i);
    if (!same_kind(got, want)) {
      // What overflows the model's own type in a plain evaluation may overflow in a candidate.
      if (same_kind(got, naive) && !std::isfinite(naive)) continue;
      if (fact.mismatched_nonfinite++ == 0) {
        fact.worst_index = i;
        fact.worst_value = std::isfinite(got) ? got : 0;
        fact.worst_expected = std::isfinite(want) ? want : 0;
      }
      continue;
    }
    if (!std::isfinite(want)) continue;
    ++finite;
    squared += static_cast<long double>(want) * want;
    candidate.add(std::abs(got - want), i);
    if (std::isfinite(naive)) reference.add(std::abs(naive - want), i);
  }
  const auto norm = static_cast<double>(std::sqrt(squared));
  const double rms = finite > 0 ? norm / std::sqrt(static_cast<double>(finite)) : 0;
  fact.normwise = static_cast<double>(std::sqrt(candidate.squared)) / (norm > 0 ? norm : 1);
  fact.normwise_plain = static_cast<double>(std::sqrt(reference.squared)) / (norm > 0 ? norm : 1);
  fact.max_scaled = candidate.worst / (rms > 0 ? rms : 1);
  fact.max_scaled_plain = reference.worst / (rms > 0 ? rms : 1);
  if (fact.mismatched_nonfinite == 0 && finite > 0) {
    fact.worst_index = candidate.worst_index;
    fact.worst_value = graph::load_double(type, output.data(), candidate.worst_index);
    fact.worst_expected = graph::load_double(expected.type.dtype, expected.bytes.data(), candidate.worst_index);
  }
  return fact;
}

}  // namespace kiln::worker
