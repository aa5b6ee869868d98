// A partition's plan, held to its workload.
#pragma once

#include <doctest/doctest.h>

#include "agents/graph/interpreter.h"
#include "runtime/base/json.h"
#include "tests/graph/inputs.h"
#include "tests/planner/machine.h"

namespace kiln::agents::machine {

inline void same_bytes(const std::vector<graph::Tensor>& got, const std::vector<graph::Tensor>& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) REQUIRE(got[i].bytes == wanted[i].bytes);
}

// The assembled plan, run in shared memory with the interpreter as its kernels, gives the workload's own bytes.
inline Plan check_plan(const graph::Graph& g, const Partition& partition, std::uint64_t seed) {
  const Plan plan = assemble(g, partition, fake_kernels(partition), "", 2);
  CHECK(json::canonical(to_json(plan_from_json(to_json(plan)))) == json::canonical(to_json(plan)));
  Machine m(g, partition, plan);
  const std::vector<graph::Tensor> inputs = graph::test::inputs_for(g, seed);
  const std::vector<graph::Tensor> wanted = graph::evaluate(g, inputs, graph::Arithmetic::model);
  same_bytes(m.run(inputs), wanted);
  same_bytes(m.run(inputs), wanted);  // what the first call left in the arena does not matter
  return plan;
}

}  // namespace kiln::agents::machine
