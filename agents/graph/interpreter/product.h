// One panel of a matrix product, shared by MatMul and Convolution. Private to agents/graph/interpreter.
#pragma once

#include <cstdint>

namespace kiln::graph::interpreter {

// A panel holds this many columns of the right-hand matrix, row after row; columns beyond the matrix are zero.
inline constexpr std::int64_t kPanelColumns = 16;

// One matrix by strides: element (i, j) at base[i * rows + j * columns].
template <class T>
struct Matrix {
  const T* base;
  std::int64_t rows, columns;
};

// c[i * stride + j] = sum over p of a(i, p) * panel[p * kPanelColumns + j], for i < m and j < width <= kPanelColumns.
// Each sum runs over p in order in one accumulator of the type; only independent sums are computed side by side.
void multiply_panel(const Matrix<double>& a, const double* panel, double* c, std::int64_t stride, std::int64_t m,
                    std::int64_t width, std::int64_t k);
void multiply_panel(const Matrix<float>& a, const float* panel, float* c, std::int64_t stride, std::int64_t m,
                    std::int64_t width, std::int64_t k);
// Wraps at 64 bits.
void multiply_panel(const Matrix<std::int64_t>& a, const std::int64_t* panel, std::int64_t* c, std::int64_t stride,
                    std::int64_t m, std::int64_t width, std::int64_t k);

}  // namespace kiln::graph::interpreter
