// The rewrites that a policy allows or forbids: which graph the baseline, the tuned plan and the oracle are of.
#include <doctest/doctest.h>

#include "agents/conductor/conductor.h"
#include "tests/conductor/jobs.h"
#include "tests/graph/build.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

// A job and its replay, which must tell the same.
JobOutcome replayed(const JobInput& input, MemoryBlobs& blobs) {
  FakeBench bench;
  MemoryJournal journal;
  JobOutcome live = run(input, bench, blobs, journal);
  journal.rewind();
  journal.replay = true;
  CHECK(json::canonical(run(input, bench, blobs, journal).trace) == json::canonical(live.trace));
  return live;
}

// What DequantizeLinear makes of bytes, by weights that are multiples of 1/8 from -127/8 to 127/8.
JobInput quantised_input(MemoryBlobs& blobs) {
  graph::Graph g;
  const graph::ValueId x = g.add_input("x", {graph::DType::u8, {32, 64}});
  const auto cast = [&g](graph::ValueId v, graph::DType to) {
    graph::Pointwise one;
    one.expr.results = {one.expr.cast(one.expr.operand(0, g.type(v).dtype), to)};
    return g.add_node(std::move(one), {v}, "cast")[0];
  };
  const graph::ValueId zero =
      g.add_constant("zero", graph::test::tensor<std::int32_t>(graph::DType::i32, {}, {128}));
  const graph::ValueId shifted =
      graph::test::apply(g, graph::ExprOp::sub, cast(x, graph::DType::i32), zero);
  const graph::ValueId a = graph::test::apply(g, graph::ExprOp::mul, cast(shifted, graph::DType::f32),
                                              graph::test::scalar(g, 0.25f));
  graph::Tensor weights = graph::Tensor::zeros({graph::DType::f32, {64, 128}});
  for (std::size_t i = 0; i < weights.as<float>().size(); ++i)
    weights.as<float>()[i] = static_cast<float>(static_cast<int>(i * 37 % 255) - 127) / 8;
  g.outputs = g.add_node(graph::MatMul{}, {a, g.add_constant("w", std::move(weights))}, "product");
  return job_on(std::move(g), "quantised", blobs);
}

}  // namespace

TEST_CASE("algebraic rewrites happen where the policy allows them, and their gain is measured apart") {
  MemoryBlobs blobs;
  JobInput input = mean_input(blobs);
  const JobOutcome plain = replayed(input, blobs);
  input.policy.algebraic = true;
  const JobOutcome rewritten = replayed(input, blobs);
  CHECK(plain.algebraic.empty());
  CHECK(plain.tuned.constants == input.constants_blob);
  REQUIRE(rewritten.right);
  CHECK(rewritten.algebraic.at("rewrites").as_array() == json::array{"mean_of_product: mean"});
  CHECK(rewritten.algebraic.at("speed_up").at("ratio").as_double() > 0);
  CHECK(rewritten.trace.at("algebraic") == json::value(rewritten.algebraic));
  CHECK(rewritten.baseline.constants == plain.baseline.constants);  // the baseline computes what the model says
  CHECK(rewritten.tuned.constants_bytes < plain.tuned.constants_bytes);
  CHECK(blobs.get(rewritten.tuned.constants).size() == static_cast<std::size_t>(rewritten.tuned.constants_bytes));
}

TEST_CASE("a quantised product is one of integers unless the policy forbids it, and its gain is measured apart") {
  MemoryBlobs blobs;
  JobInput input = quantised_input(blobs);
  CHECK(input.policy.integers);  // Kiln's default
  const JobOutcome allowed = replayed(input, blobs);
  input.policy.integers = false;
  const JobOutcome forbidden = replayed(input, blobs);
  CHECK(forbidden.algebraic.empty());
  CHECK(forbidden.tuned.constants == input.constants_blob);
  REQUIRE(allowed.right);
  CHECK(allowed.algebraic.at("rewrites").as_array() == json::array{"integer_product: product"});
  CHECK(allowed.algebraic.at("speed_up").at("ratio").as_double() > 0);
  CHECK(allowed.baseline.constants == forbidden.baseline.constants);  // the baseline computes the model as written
  CHECK(allowed.tuned.constants_bytes < forbidden.tuned.constants_bytes / 2);  // bytes instead of float32
}
