// One reduction of a row's pass as device code: what a thread keeps of it, takes into it, and what it comes to. Sums of
// float32 are compensated; the sum of a row and the squares about its mean may be joint (agents/writer/passes.h).
#pragma once

#include <cstdint>
#include <string>

#include "agents/graph/expr.h"

namespace kiln::agents::writer::device {

struct Reduction {
  std::size_t node = 0;  // of the row's expression
  graph::ExprOp op = graph::ExprOp::row_sum;
  graph::DType type = graph::DType::f32;
  std::string element;        // what is reduced, at one place of the row: "t3"
  bool compensated = false;   // if it is a sum of float32
  std::string squares_about;  // joint: where the row's shift is, "s.c5"; the sum of squares of elements less it
  std::string sum_about;      // joint: the same for their sum
  std::size_t sum = 0;        // of joint squares: the node of their sum
};

// Each is whole statements, one a line, or nothing.
struct ReductionText {
  std::string members;  // of the pass
  std::string before;   // the elements of a vector are looked at
  std::string element;  // at each of them
  std::string after;
  std::string warp, put, take, finish;
};

// `slot`: the reduction's place in what a warp leaves.
[[nodiscard]] ReductionText reduction_text(const Reduction& reduction, std::size_t slot);

}  // namespace kiln::agents::writer::device
