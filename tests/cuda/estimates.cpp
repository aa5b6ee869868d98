// The first guess of how long a GPU takes for a configuration: what it says of real templates.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "agents/conductor/incumbent.h"
#include "agents/search/search.h"
#include "agents/writer/writer.h"
#include "tests/cuda/collection.h"
#include "tests/cuda/device_kernel.h"

using namespace kiln;

namespace {

// The templates with `words` in their names that take the graph, by name.
agents::Candidates candidates_of(const std::string& words, const graph::Graph& g) {
  std::vector<std::int32_t> nodes(g.nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i] = static_cast<std::int32_t>(i);
  const agents::Region region = agents::cut_region(g, nodes).region;
  agents::Candidates out;
  out.node = testing::device_node("sm_90a");
  const std::optional<agents::Kernel> kernel = agents::lower(region);
  REQUIRE(kernel);
  out.figures = agents::figures_of(*kernel, out.node, 1);
  std::map<std::string, const store::TemplateSpec*> by_name;
  for (const store::TemplateSpec& spec : testing::device_templates()) by_name[spec.family + "/" + spec.name] = &spec;
  for (const auto& [name, spec] : by_name) {
    if (name.find(words) == std::string::npos || !agents::accepts(*spec, *kernel)) continue;
    agents::Space space = agents::enumerate(*spec, region, *kernel, out.figures, out.node);
    if (space.rows.empty()) continue;
    out.specs.push_back(spec);
    out.spaces.push_back(std::move(space));
  }
  return out;
}

// Empty where the template does not take the graph.
agents::Space space_of(const std::string& name, const graph::Graph& g) {
  agents::Candidates found = candidates_of(name, g);
  for (std::size_t i = 0; i < found.specs.size(); ++i)
    if (found.specs[i]->family + "/" + found.specs[i]->name == name) return std::move(found.spaces[i]);
  return {};
}

std::string reference_of(const graph::Graph& g) {
  const agents::Candidates found = candidates_of("", g);
  const store::TemplateSpec& spec = *found.specs.at(agents::reference_of(found));
  return spec.family + "/" + spec.name;
}

// Least estimate of the rows whose `tunable` is `value`.
float least(const agents::Space& space, const std::string& tunable, std::int64_t value) {
  float out = std::numeric_limits<float>::infinity();
  for (std::size_t row = 0; row < space.rows.size(); ++row)
    if (agents::variant_of(space, row).tunables.at(tunable) == value) out = std::min(out, space.estimate_ns.at(row));
  return out;
}
float least(const agents::Space& space) {
  return *std::min_element(space.estimate_ns.begin(), space.estimate_ns.end());
}

graph::Graph softmax_of(graph::Shape shape) {
  graph::Graph g;
  g.name = "softmax";
  g.outputs = {
      testing::add_node(g, graph::Softmax{1, false}, {testing::input(g, std::move(shape), graph::DType::bf16)})};
  return g;
}

graph::Graph product_of(graph::Shape a, graph::Shape b, bool transposed, graph::DType type) {
  graph::Graph g;
  g.name = "product";
  const graph::ValueId of_a = testing::input(g, std::move(a), type);
  g.outputs = {testing::add_node(g, graph::MatMul{false, transposed}, {of_a, testing::input(g, std::move(b), type)})};
  return g;
}

}  // namespace

TEST_CASE("every configuration of a template that says what a thread does has a first guess") {
  std::size_t guessed = 0;
  for (const testing::NamedGraph& named : testing::device_graphs()) {
    for (const store::TemplateSpec& spec : testing::device_templates()) {
      const agents::Space space = space_of(spec.family + "/" + spec.name, named.graph);
      if (!spec.cost.contains("instructions")) {
        CHECK(space.estimate_ns.empty());
        continue;
      }
      REQUIRE(space.estimate_ns.size() == space.rows.size());
      for (const float ns : space.estimate_ns) REQUIRE((std::isfinite(ns) && ns > 0));
      guessed += space.rows.size();
    }
  }
  CHECK(guessed > 1000);
}

TEST_CASE("one row wants many threads, many rows want few each, and clusters are for rows that are too long") {
  const agents::Space one = space_of("row/device", softmax_of({1, 4096}));
  CHECK(1.25f * least(one, "row_threads", 512) < least(one, "row_threads", 64));
  CHECK(least(one) < least(space_of("row/cluster", softmax_of({1, 8192}))));
  const agents::Space many = space_of("row/device", softmax_of({16384, 4096}));
  CHECK(least(many, "row_threads", 128) < least(many, "row_threads", 1024));
  CHECK(least(many, "vector", 8) <= least(many, "vector", 1));
  CHECK(least(many, "resident", 1) < least(many, "resident", 0));
  const graph::Graph longest = softmax_of({1, 1 << 22});
  CHECK(least(space_of("row/split", longest)) < least(space_of("row/device", longest)));
}

TEST_CASE("a matrix by a column streams once, and is not tried where there are many columns") {
  // 8.6 GB, of which an H200 copies half in 2 ms (docs/performance.md).
  const graph::Graph column = product_of({2048, 1 << 20}, {1 << 20, 1}, false, graph::DType::f32);
  const float by_gemv = least(space_of("matmul/gemv_dot", column));
  CHECK(by_gemv > 1.8e6f);
  CHECK(by_gemv < 3e6f);
  CHECK(10 * by_gemv < least(space_of("matmul/device", column)));
  const graph::Graph decoded = product_of({4, 4096}, {14336, 4096}, true, graph::DType::bf16);
  CHECK(4 * least(space_of("matmul/gemv_dot", decoded)) < least(space_of("matmul/device", decoded)));
  const graph::Graph across = product_of({4, 4096}, {4096, 14336}, false, graph::DType::bf16);
  CHECK(4 * least(space_of("matmul/gemv_axpy", across)) < least(space_of("matmul/device", across)));
  CHECK(space_of("matmul/gemv_axpy", decoded).rows.empty());
  const graph::Graph sixteen = product_of({16, 4096}, {14336, 4096}, true, graph::DType::bf16);
  CHECK(1.5f * least(space_of("matmul/gemv_mma", sixteen)) < least(space_of("matmul/gemv_dot", sixteen)));
  CHECK(space_of("matmul/gemv_mma", column).rows.empty());
  CHECK(space_of("matmul/gemv_dot", product_of({64, 4096}, {4096, 4096}, true, graph::DType::f32)).rows.empty());
  CHECK(space_of("matmul/gemv_dot", product_of({4, 4096}, {4096, 4096}, false, graph::DType::f32)).rows.empty());
}

TEST_CASE("what runs op by op is the first template, unless another is guessed to be far faster") {
  CHECK(reference_of(product_of({2048, 1 << 20}, {1 << 20, 1}, false, graph::DType::f32)) == "matmul/gemv_dot");
  CHECK(reference_of(product_of({512, 512}, {512, 512}, false, graph::DType::f32)) == "matmul/device");
  CHECK(reference_of(softmax_of({16384, 4096})) == "row/device");
}

TEST_CASE("few results of a long sum are shared by many blocks, and many results by none") {
  const agents::Space few =
      space_of("matmul/split_k", product_of({256, 1 << 19}, {1 << 19, 256}, false, graph::DType::f32));
  CHECK(least(few) < least(few, "splits", 8));
  CHECK(4 * least(few) < least(few, "splits", 1));
  const agents::Space many =
      space_of("matmul/split_k", product_of({4096, 4096}, {4096, 4096}, false, graph::DType::f32));
  for (std::size_t row = 0; row < many.rows.size(); ++row)
    CHECK(agents::variant_of(many, row).tunables.at("splits") == 1);
}
