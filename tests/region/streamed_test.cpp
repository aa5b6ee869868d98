#include <doctest/doctest.h>

#include <optional>

#include "agents/region/kernel.h"
#include "tests/region/bodies.h"

using namespace kiln;
using namespace kiln::agents;
using bodies::Builder;
using graph::ValueId;

TEST_CASE("of a product the operand with more rows or columns streams, by vectors that its alignment allows") {
  const auto of = [](bool transposed, graph::Shape a, graph::Shape c) {
    Builder b(1);
    const ValueId left = b.input(std::move(a)), right = b.input(std::move(c));
    const std::optional<Kernel> kernel = lower(b.region({b.add(graph::MatMul{false, transposed}, {left, right})}));
    REQUIRE(kernel);
    return streamed(std::get<MatmulKernel>(*kernel));
  };
  const Streamed column = of(false, {30, 24}, {24, 1});
  CHECK((!column.is_b && column.many == 30 && column.few == 1));
  CHECK((column.vector_along_k == 4 && column.vector_across == 0 && column.kept_vector == 4));
  const Streamed rows_of_weights = of(true, {3, 26}, {50, 26});
  CHECK((rows_of_weights.is_b && rows_of_weights.many == 50 && rows_of_weights.few == 3));
  CHECK(
      (rows_of_weights.vector_along_k == 2 && rows_of_weights.vector_across == 0 && rows_of_weights.kept_vector == 2));
  CHECK(rows_of_weights.stream.strides == std::vector<std::int64_t>{26, 1});
  const Streamed columns_of_weights = of(false, {3, 25}, {25, 44});
  CHECK((columns_of_weights.vector_along_k == 0 && columns_of_weights.vector_across == 4));
  CHECK((columns_of_weights.kept_vector == 1 && columns_of_weights.kept.strides == std::vector<std::int64_t>{25, 1}));
}
