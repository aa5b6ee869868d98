#include "agents/graph/interpreter/product.h"

#include <algorithm>
#include <cstring>

namespace kiln::graph::interpreter {
namespace {

// Compiled for each width of vectors that x86-64 machines have; the loader picks. Elsewhere the compiler's default.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define KILN_WIDTHS __attribute__((target_clones("avx512f", "avx2,fma", "default")))
#else
#define KILN_WIDTHS
#endif

// Rows whose sums are held at once, over as many columns as Lanes has: 6 x 8 doubles are 12 of AVX2's 16 registers.
constexpr std::int64_t kRows = 6;

// Vectors of the compiler's, unrolled by hand: at -O2 it leaves loops over lanes and rows as they are, a fifth as fast.
template <class T>
struct Lanes;
template <>
struct Lanes<double> { using Vector = double __attribute__((vector_size(64))); };
template <>
struct Lanes<float> { using Vector = float __attribute__((vector_size(64))); };
template <>
struct Lanes<std::uint64_t> { using Vector = std::uint64_t __attribute__((vector_size(64))); };

// Integers wrap, which is defined for unsigned ones only.
template <class T, class Carrier = T>
[[gnu::always_inline]] inline void multiply(const Matrix<T>& a, const T* panel, T* c, std::int64_t stride,
                                            std::int64_t m, std::int64_t width, std::int64_t k) {
  using Vector = typename Lanes<Carrier>::Vector;
  constexpr std::int64_t lanes = sizeof(Vector) / sizeof(T);
  for (std::int64_t i = 0; i < m; i += kRows) {
    const T* row[kRows];
    for (std::int64_t r = 0; r < kRows; ++r) row[r] = a.base + std::min(i + r, m - 1) * a.rows;
    for (std::int64_t begin = 0; begin < width; begin += lanes) {
      Vector sums[kRows] = {};
      const T* line = panel + begin;
      for (std::int64_t p = 0; p < k; ++p, line += kPanelColumns) {
        Vector columns;
        std::memcpy(&columns, line, sizeof columns);
#pragma GCC unroll 6
        for (std::int64_t r = 0; r < kRows; ++r) sums[r] += static_cast<Carrier>(row[r][p * a.columns]) * columns;
      }
      const std::int64_t kept = std::min(lanes, width - begin);
      for (std::int64_t r = 0; r < std::min(kRows, m - i); ++r)
        for (std::int64_t j = 0; j < kept; ++j) c[(i + r) * stride + begin + j] = static_cast<T>(sums[r][j]);
    }
  }
}

}  // namespace

KILN_WIDTHS void multiply_panel(const Matrix<double>& a, const double* panel, double* c, std::int64_t stride,
                                std::int64_t m, std::int64_t width, std::int64_t k) {
  multiply(a, panel, c, stride, m, width, k);
}

KILN_WIDTHS void multiply_panel(const Matrix<float>& a, const float* panel, float* c, std::int64_t stride,
                                std::int64_t m, std::int64_t width, std::int64_t k) {
  multiply(a, panel, c, stride, m, width, k);
}

void multiply_panel(const Matrix<std::int64_t>& a, const std::int64_t* panel, std::int64_t* c, std::int64_t stride,
                    std::int64_t m, std::int64_t width, std::int64_t k) {
  multiply<std::int64_t, std::uint64_t>(a, panel, c, stride, m, width, k);
}

}  // namespace kiln::graph::interpreter
