// Random graphs through everything between import and a running plan, held to the oracle: rewritten, partitioned op by
// op and fused, and lowered (every graph); rendered, compiled and run (a sample, many kernels per call of the
// compiler).
//
// KILN_FUZZ_GRAPHS, KILN_FUZZ_BUILT and KILN_FUZZ_SEED in the environment make a longer campaign. A graph that ever
// differed is kept in kFound, by the seed that made it, or as a test of its own once the writer of graphs has changed.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "agents/graph/interpreter.h"
#include "agents/graph/rewrite/rewrite.h"
#include "agents/planner/planner.h"
#include "agents/search/search.h"
#include "agents/writer/writer.h"
#include "tests/graph/build.h"
#include "tests/graphs/random_graph.h"
#include "tests/writer/built_kernel.h"

using namespace kiln;
using graph::Graph;
using graph::Tensor;

namespace {

constexpr std::uint64_t kFound[] = {0};

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::vector<Tensor> inputs_of(const Graph& g, unsigned seed) {
  const std::vector<std::optional<graph::Domain>> domains = graph::input_domains(g);
  std::mt19937 random(seed);
  std::vector<Tensor> out;
  for (std::size_t i = 0; i < g.inputs.size(); ++i) {
    Tensor t = Tensor::zeros(g.type(g.inputs[i]));
    for (std::int64_t e = 0; e < t.count(); ++e) {
      const double unit = static_cast<double>(random() % 4001) / 1000.0 - 2;
      const double value = domains[i] ? static_cast<double>(domains[i]->low) +
                                            std::floor((unit + 2) / 4.001 *
                                                       static_cast<double>(domains[i]->high - domains[i]->low + 1))
                                      : unit;
      graph::store_double(t.type.dtype, t.bytes.data(), e, value);
    }
    out.push_back(std::move(t));
  }
  return out;
}

// The largest difference, of the largest magnitude; infinite when a NaN or an infinity stands elsewhere.
double difference(const Tensor& want, const Tensor& got) {
  double largest = 1e-3, worst = 0;
  for (std::int64_t i = 0; i < want.count(); ++i) {
    const double a = graph::load_double(want.type.dtype, want.bytes.data(), i);
    const double b = graph::load_double(got.type.dtype, got.bytes.data(), i);
    if (std::isfinite(a)) largest = std::max(largest, std::fabs(a));
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    worst = std::max(worst, std::isfinite(a) && std::isfinite(b) ? std::fabs(a - b) : INFINITY);
  }
  return worst / largest;
}
double difference(const std::vector<Tensor>& want, const std::vector<Tensor>& got) {
  double worst = want.size() == got.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < want.size() && i < got.size(); ++i) worst = std::max(worst, difference(want[i], got[i]));
  return worst;
}

using RunRegion = std::function<std::vector<Tensor>(const agents::Region&, const std::vector<Tensor>&)>;

// The workload region by region. Values are carried in the types of the graph.
std::vector<Tensor> run(const Graph& g, const agents::Partition& p, const std::vector<Tensor>& inputs,
                        const RunRegion& region) {
  std::vector<Tensor> values(g.values.size());
  for (std::size_t v = 0; v < g.values.size(); ++v)
    if (g.constants[v]) values[v] = {g.values[v].type, {g.constants[v]->bytes.begin(), g.constants[v]->bytes.end()}};
  for (std::size_t i = 0; i < inputs.size(); ++i) values[static_cast<std::size_t>(g.inputs[i])] = inputs[i];
  for (const agents::RegionInstance& instance : p.instances) {
    std::vector<Tensor> read;
    for (const graph::ValueId v : instance.inputs) read.push_back(values[static_cast<std::size_t>(v)]);
    std::vector<Tensor> made = region(p.regions[static_cast<std::size_t>(instance.region)], read);
    for (std::size_t o = 0; o < made.size(); ++o)
      values[static_cast<std::size_t>(instance.outputs[o])] = std::move(made[o]);
  }
  std::vector<Tensor> out;
  for (const graph::ValueId v : g.outputs) out.push_back(values[static_cast<std::size_t>(v)]);
  return out;
}

std::vector<Tensor> by_interpreter(const agents::Region& region, const std::vector<Tensor>& inputs) {
  return graph::evaluate(region.body, inputs, graph::Arithmetic::model);
}

const std::vector<store::TemplateSpec>& corpus() {
  static const std::vector<store::TemplateSpec> specs = [] {
    std::vector<store::TemplateSpec> out;
    for (const char* name : {"attention/fused", "concat/copy", "convolution/direct", "gather/rows", "line/plain",
                             "matmul/packed", "pad/copy", "pointwise/fused", "row/fused",
                             "scatter/rows", "window/plain"}) {
      const std::string text = name;
      out.push_back(testing::template_of(text.substr(0, text.find('/')), text.substr(text.find('/') + 1)));
      REQUIRE(out.back().target == "cpu");
    }
    return out;
  }();
  return specs;
}

bool buildable(const agents::Kernel& kernel) {
  return std::any_of(corpus().begin(), corpus().end(), [&](const auto& spec) { return accepts(spec, kernel); });
}

agents::RenderedKernel rendered(const agents::Region& region) {
  const agents::NodeFacts node = testing::this_node();
  const agents::Kernel kernel = *agents::lower(region);
  const agents::Figures figures = agents::figures_of(kernel, node, 2);
  for (const store::TemplateSpec& spec : corpus()) {
    if (!accepts(spec, kernel)) continue;
    const agents::Space space = agents::enumerate(spec, region, kernel, figures, node);
    if (space.rows.empty()) continue;
    return agents::render(spec, region, kernel,
                          agents::variant_of(space, static_cast<std::size_t>(space.default_row)), figures, node);
  }
  FAIL("no valid variant for " << region.label);
  return {};
}

struct Counts { int graphs = 0, ill = 0, refused = 0, rewritten = 0, nodes = 0, regions = 0, built = 0; };

// What is left of a graph for the compiler.
struct Sample {
  std::uint64_t seed;
  Graph g;
  agents::Partition fused;
  std::vector<Tensor> inputs, want;
  double plain;  // the error of plain evaluation
};

std::optional<Sample> check_graph(std::uint64_t seed, Counts& counts) {
  INFO("seed " << seed);
  Sample s{seed, testing::random_graph(seed), {}, {}, {}, 0};
  graph::validate(s.g);
  s.inputs = inputs_of(s.g, static_cast<unsigned>(seed));
  s.want = graph::evaluate(s.g, s.inputs, graph::Arithmetic::fp64);
  s.plain = difference(s.want, graph::evaluate(s.g, s.inputs, graph::Arithmetic::model));
  ++counts.graphs;
  counts.nodes += static_cast<int>(s.g.nodes.size());
  if (!(s.plain < 1e-4)) {  // an argument of an extremum or a comparison that float32 decides otherwise
    ++counts.ill;
    return std::nullopt;
  }
  std::vector<std::string> log;
  std::vector<std::string> names;
  for (std::size_t o = 0; o < s.g.outputs.size(); ++o) names.push_back("y" + std::to_string(o));
  graph::rewrite::simplify(s.g, log);
  graph::rewrite::separate(s.g, log);
  graph::rewrite::name_outputs(s.g, names);  // as an import does: two outputs may have become one value
  graph::validate(s.g);
  counts.rewritten += log.empty() ? 0 : 1;
  CHECK(difference(s.want, graph::evaluate(s.g, s.inputs, graph::Arithmetic::fp64)) < 1e-9);
  const std::vector<std::string> missing = agents::uncomputed(s.g, buildable);
  if (!missing.empty()) {
    ++counts.refused;
    return std::nullopt;
  }
  const double tolerance = 1e-5 + 20 * s.plain;
  const agents::Baseline base = agents::baseline(s.g, buildable);
  CHECK(difference(s.want, run(base.graph, base.partition, s.inputs, by_interpreter)) < tolerance);
  s.fused = agents::partition_fused(s.g, buildable);
  counts.regions += static_cast<int>(s.fused.instances.size());
  CHECK(difference(s.want, run(s.g, s.fused, s.inputs, by_interpreter)) < tolerance);
  for (const agents::Region& region : s.fused.regions) CHECK(agents::lower(region).has_value());
  return s;
}

// Builds every kernel of the samples by few calls of the compiler and runs the graphs by them.
void check_built(const std::vector<Sample>& samples, Counts& counts) {
  std::map<std::string, agents::RenderedKernel> wanted;  // by region
  for (const Sample& s : samples)
    for (const agents::Region& region : s.fused.regions)
      if (!wanted.contains(region.key)) wanted.emplace(region.key, rendered(region));
  std::vector<agents::RenderedKernel> kernels;
  for (auto& [key, kernel] : wanted) {
    for (std::string& flag : kernel.compile_flags)
      if (flag == "-O3") flag = "-O1";  // a third of the time; tests/writer builds as a node does
    kernels.push_back(kernel);
  }
  std::vector<std::unique_ptr<testing::BuiltKernel>> built = testing::BuiltKernel::together(kernels, 1);
  std::map<std::string, testing::BuiltKernel*> by_region;
  std::size_t next = 0;
  for (const auto& [key, kernel] : wanted) by_region[key] = built[next++].get();
  counts.built += static_cast<int>(kernels.size());
  for (const Sample& s : samples) {
    INFO("seed " << s.seed);
    const RunRegion by_kernel = [&](const agents::Region& region, const std::vector<Tensor>& inputs) {
      std::vector<const void*> read;
      for (const Tensor& t : inputs) read.push_back(t.bytes.data());
      std::vector<Tensor> made;
      for (const graph::ValueId v : region.body.outputs) made.push_back(Tensor::zeros(region.body.type(v)));
      std::vector<void*> written;
      for (Tensor& t : made) written.push_back(t.bytes.data());
      testing::BuiltKernel& kernel = *by_region.at(region.key);
      kernel.prepare(read);
      kernel.run(read, written);
      const double error = difference(graph::evaluate(region.body, inputs, graph::Arithmetic::fp64), made);
      INFO(region.label);
      CHECK(error < 1e-4);
      return made;
    };
    CHECK(difference(s.want, run(s.g, s.fused, s.inputs, by_kernel)) < 1e-5 + 50 * s.plain);
  }
}

}  // namespace

TEST_CASE("random graphs compute the same rewritten, partitioned, lowered and built as the oracle says") {
  const std::uint64_t graphs = setting("KILN_FUZZ_GRAPHS", KILN_SANITIZED ? 200 : 2000),
                      build = setting("KILN_FUZZ_BUILT", KILN_SANITIZED ? 8 : 40);
  const std::uint64_t first = setting("KILN_FUZZ_SEED", 1);
  Counts counts;
  for (const std::uint64_t seed : kFound) (void)check_graph(seed, counts);
  std::vector<Sample> samples;
  for (std::uint64_t i = 0; i < graphs; ++i) {
    std::optional<Sample> sample = check_graph(first + i, counts);
    if (sample && samples.size() < build && i * build >= samples.size() * graphs) samples.push_back(std::move(*sample));
  }
  check_built(samples, counts);
  std::printf("%d graphs of %d nodes: %d rewritten, %d not comparable in float32, %d with an operator of no template; "
              "%d regions; %d kernels of %zu graphs built and run\n",
              counts.graphs, counts.nodes, counts.rewritten, counts.ill, counts.refused, counts.regions, counts.built,
              samples.size());
  CHECK(counts.ill * 5 < counts.graphs);
  CHECK(counts.refused * 20 < counts.graphs);
}
