// Every template for target cuda, rendered for a fixed set of graphs: its source is executed on this CPU and compared
// with the oracle as a candidate of a job would be, and compiled for every architecture where NVRTC is installed.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <regex>
#include <set>

#include "agents/evaluator/evaluator.h"
#include "agents/graph/interpreter.h"
#include "agents/graph/roundings.h"
#include "agents/search/search.h"
#include "daemon/worker/compare.h"
#include "daemon/worker/inputs.h"
#include "runtime/base/files.h"
#include "tests/cuda/device_kernel.h"
#include "tests/cuda/graphs.h"
#include "tests/cuda/nvrtc.h"
#include "tests/cuda/sass.h"

using namespace kiln;

namespace {

bool has_clusters(const std::string& architecture) { return !architecture.starts_with("sm_8"); }
constexpr const char* kArchitectures[] = {"sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120"};

// A GPU small enough that few rows fill it, and that the threads of all blocks side by side are not too many.
constexpr std::int32_t kEmulated = 6;

agents::Region region_of(const graph::Graph& g) {
  std::vector<std::int32_t> nodes(g.nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i] = static_cast<std::int32_t>(i);
  return agents::cut_region(g, nodes).region;
}

// The default variant and `most` others spread over the space.
std::vector<agents::Variant> variants(const agents::Space& space, std::size_t most) {
  std::set<std::size_t> rows;
  if (space.default_row >= 0) rows.insert(static_cast<std::size_t>(space.default_row));
  const std::size_t others = std::min(most, space.rows.size());
  for (std::size_t i = 0; i < others; ++i) rows.insert(space.rows.size() * (2 * i + 1) / (2 * others));
  std::vector<agents::Variant> out;
  for (const std::size_t row : rows) out.push_back(agents::variant_of(space, row));
  return out;
}

// Renders what a job would try of `spec` for a graph; none when the template does not take it.
std::vector<agents::RenderedKernel> rendered(const store::TemplateSpec& spec, const graph::Graph& g,
                                             const std::string& architecture, std::size_t others,
                                             std::int32_t multiprocessors = 132) {
  std::vector<agents::RenderedKernel> out;
  const agents::Region region = region_of(g);
  INFO(g.name);
  const std::optional<agents::Kernel> kernel = agents::lower(region);
  REQUIRE(kernel);
  if (!agents::accepts(spec, *kernel)) return out;
  const agents::NodeFacts node = testing::device_node(architecture, multiprocessors);
  const agents::Figures figures = agents::figures_of(*kernel, node, 1);
  const agents::Space space = agents::enumerate(spec, region, *kernel, figures, node);
  for (const agents::Variant& variant : variants(space, others))
    out.push_back(agents::render(spec, region, *kernel, variant, figures, node));
  return out;
}

struct Case {
  std::vector<graph::Tensor> inputs, expected, plain;
};

Case case_of(const graph::Graph& g, const std::string& family) {
  Case c;
  const std::vector<std::optional<graph::Domain>> domains = graph::input_domains(g);
  for (std::size_t i = 0; i < g.inputs.size(); ++i)
    c.inputs.push_back(worker::make_input(g.type(g.inputs[i]), domains[i], family, 7, i));
  c.expected = graph::evaluate(g, c.inputs, graph::Arithmetic::fp64);
  c.plain = graph::evaluate(g, c.inputs, graph::Arithmetic::model);
  return c;
}

void check_against_oracle(const testing::EmulatedKernel& kernel, const graph::Graph& g, const std::string& family,
                          simt::Order order) {
  const Case c = case_of(g, family);
  std::vector<graph::TensorType> outputs;
  for (const graph::ValueId id : g.outputs) outputs.push_back(g.type(id));
  const std::vector<graph::Tensor> got = kernel.run(c.inputs, outputs, order);
  agents::CheckFact fact;
  for (std::size_t i = 0; i < got.size(); ++i) {
    fact.errors.push_back(worker::compare_output(got[i].bytes, c.plain[i], c.expected[i]));
    fact.errors.back().family = family;
  }
  const agents::Judgement judgement = agents::judge(fact, policies::Policy{}, graph::longest_chain_of_roundings(g));
  INFO(family << ": " << judgement.reason << ", worst " << fact.errors[0].worst_value << " for "
              << fact.errors[0].worst_expected << " at " << fact.errors[0].worst_index);
  CHECK(judgement.verdict == agents::Verdict::ok);
}

// From sm_90 on a kernel may be placed while the launch before it is at work.
void check_that_it_waits_first(const std::string& cubin) {
  const std::map<std::string, testing::Order> kernels = testing::order_of_accesses(cubin);
  CHECK_FALSE(kernels.empty());
  for (const auto& [symbol, order] : kernels) {
    INFO(symbol);
    CHECK(order.waits);
    CHECK(order.accesses > 0);
    CHECK(order.early == 0);
  }
}

}  // namespace

TEST_CASE("the kernels of every graph agree with the oracle, whatever the order of the threads") {
  std::map<std::string, std::size_t> executed;
  for (const testing::NamedGraph& named : testing::device_graphs()) {
    const graph::Graph body = region_of(named.graph).body;  // whose inputs are in the order that kernels number them
    int kernels = 0;
    for (const store::TemplateSpec& spec : testing::device_templates()) {
      for (const agents::RenderedKernel& kernel : rendered(spec, named.graph, "sm_90a", 2, kEmulated)) {
        INFO(named.name << " by " << agents::to_string(kernel.variant));
        const testing::EmulatedKernel emulated(kernel);
        check_against_oracle(emulated, body, "normal", simt::Order::forward);
        check_against_oracle(emulated, body, "heavy_tail", simt::Order::backward);
        ++executed[spec.family + "/" + spec.name];
        ++kernels;
      }
    }
    INFO(named.name << " has no kernel");
    CHECK(kernels > 0);
  }
  for (const store::TemplateSpec& spec : testing::device_templates()) {
    INFO(spec.family << "/" << spec.name << " was never executed");
    CHECK(executed[spec.family + "/" + spec.name] > 0);
  }
}

// And batches that its groups of blocks take in turn.
TEST_CASE("blocks that share a recurrent layer have its weights in memory, in shared memory or in registers") {
  const agents::NodeFacts node = testing::device_node("sm_90a", 4);
  const auto persistent = std::find_if(
      testing::device_templates().begin(), testing::device_templates().end(),
      [](const auto& spec) { return spec.family == "recurrent" && spec.name == "persistent"; });
  REQUIRE(persistent != testing::device_templates().end());
  for (const testing::NamedGraph& named : testing::device_graphs()) {
    if (named.name != "gru that resets before its product" && named.name != "lstm of many rows from the end") continue;
    const agents::Region region = region_of(named.graph);
    const std::optional<agents::Kernel> kernel = agents::lower(region);
    REQUIRE(kernel);
    const agents::Figures figures = agents::figures_of(*kernel, node, 1);
    const agents::Space space = agents::enumerate(*persistent, region, *kernel, figures, node);
    std::set<std::pair<std::int64_t, std::int64_t>> executed;
    for (std::size_t row = 0; row < space.rows.size(); ++row) {
      const agents::Variant variant = agents::variant_of(space, row);
      const std::int64_t blocks = variant.tunables.at("group_blocks"), threads = variant.tunables.at("block_threads");
      if (threads != 128 || !executed.insert({variant.tunables.at("weights"), blocks}).second) continue;
      INFO(named.name << " by " << agents::to_string(variant));
      const testing::EmulatedKernel emulated(agents::render(*persistent, region, *kernel, variant, figures, node));
      check_against_oracle(emulated, region.body, "normal", simt::Order::forward);
      check_against_oracle(emulated, region.body, "uniform", simt::Order::backward);
    }
    CHECK(executed.size() == 6);  // three places by groups of two and of four
  }
}

// The policy allows an error of eight roundings to an evaluation that has none itself (docs/measuring.md, "Right").
TEST_CASE("rows of many elements keep the digits of their sums") {
  constexpr double kAllowed = 8 * 0x1p-24;
  std::set<std::string> executed;
  for (const testing::NamedGraph& named : testing::long_row_graphs()) {
    const graph::Graph body = region_of(named.graph).body;
    const Case c = case_of(body, body.outputs.size() == 1 ? "heavy_tail" : "normal");
    std::vector<graph::TensorType> types;
    for (const graph::ValueId id : body.outputs) types.push_back(body.type(id));
    for (const store::TemplateSpec& spec : testing::device_templates())
      for (const agents::RenderedKernel& kernel : rendered(spec, named.graph, "sm_90a", 1, kEmulated)) {
        INFO(named.name << " by " << agents::to_string(kernel.variant));
        const auto got = testing::EmulatedKernel(kernel).run(c.inputs, types, simt::Order::forward);
        for (std::size_t i = 0; i < got.size(); ++i)
          CHECK(worker::compare_output(got[i].bytes, c.plain[i], c.expected[i]).normwise <= kAllowed);
        executed.insert(spec.name);
      }
  }
  CHECK(executed == std::set<std::string>{"cluster", "columns", "device", "persistent", "split", "staged"});
}

// Each row of y has one value throughout, by which all values are divided in turn.
TEST_CASE("a row is divided as single numbers are, by whatever divides it") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  std::vector<float> values = {0.0f, 0x1p-149f, 0x1.8p-140f, 0x1p-126f, 0x1.fp-100f, 0x1.3p-3f, 1.0f,
                               3.0f, 0x1.7p20f, 0x1.9p100f,  0x1p126f,  0x1.8p127f,  inf};
  for (std::size_t i = values.size(); i-- > 0;) values.push_back(-values[i]);
  const auto n = static_cast<std::int64_t>(values.size());
  const testing::NamedGraph named = testing::rows_by_their_largest(n);
  const graph::Graph body = region_of(named.graph).body;
  Case c = case_of(body, "normal");
  const auto reduces = [](const graph::Node& node) { return std::holds_alternative<graph::Reduce>(node.op); };
  const auto reduction = std::find_if(body.nodes.begin(), body.nodes.end(), reduces);
  REQUIRE(reduction != body.nodes.end());
  for (std::size_t i = 0; i < 2; ++i) {
    const bool divides = body.inputs[i] == reduction->inputs[0];
    for (std::int64_t at = 0; at < n * n; ++at)
      std::memcpy(&c.inputs[i].bytes[static_cast<std::size_t>(at) * sizeof(float)],
                  &values[static_cast<std::size_t>(divides ? at / n : at % n)], sizeof(float));
  }
  int kernels = 0;
  for (const store::TemplateSpec& spec : testing::device_templates())
    for (const agents::RenderedKernel& kernel : rendered(spec, named.graph, "sm_90a", 0, kEmulated)) {
      const auto got =
          testing::EmulatedKernel(kernel).run(c.inputs, {body.type(body.outputs[0])}, simt::Order::forward);
      for (std::int64_t i = 0; i < n * n; ++i) {
        const float x = values[static_cast<std::size_t>(i % n)], y = values[static_cast<std::size_t>(i / n)];
        float quotient = 0;
        std::memcpy(&quotient, &got[0].bytes[static_cast<std::size_t>(i) * sizeof(float)], sizeof(float));
        INFO(agents::to_string(kernel.variant) << ": " << x << " / " << y);
        CHECK((quotient == x / y || (std::isnan(quotient) && std::isnan(x / y))));
      }
      ++kernels;
    }
  CHECK(kernels > 0);
}

// A compiler moves a statement that is not volatile out of the condition before it: compute-sanitizer found a load
// behind the end of a norm's scale so.
TEST_CASE("assembler that takes an address stays where it was written") {
  const std::regex head(R"(\basm\s*(volatile)?\s*\()");
  int kept = 0;
  const std::filesystem::path root = std::filesystem::path(KILN_SOURCE_DIR) / "store/corpus/templates";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".cu" && entry.path().extension() != ".cuh") continue;
    const std::string text = read_file(entry.path());
    for (std::sregex_iterator at(text.begin(), text.end(), head), end; at != end; ++at) {
      const auto begin = static_cast<std::size_t>(at->position());
      const std::string statement = text.substr(begin, text.find(");", begin) - begin);
      if (statement.find("[%") == std::string::npos) continue;
      INFO(entry.path().string() << ": " << statement);
      CHECK((*at)[1].matched);
      ++kept;
    }
  }
  CHECK(kept > 0);
}

TEST_CASE("every template compiles for every architecture, without a spill") {
  const std::unique_ptr<targets::cuda::Compiler> compiler = testing::nvrtc();
  if (!compiler) return;
  std::size_t turn = 0;
  std::map<std::string, std::set<std::string>> compiled;
  for (const testing::NamedGraph& named : testing::device_graphs()) {
    for (const store::TemplateSpec& spec : testing::device_templates()) {
      // Each kernel for one architecture in turn; the first of each template for all of them.
      std::set<std::string>& seen = compiled[spec.family + "/" + spec.name];
      const bool first = seen.empty();
      for (const char* architecture : kArchitectures) {
        if (!first && architecture != kArchitectures[turn % std::size(kArchitectures)]) continue;
        for (const agents::RenderedKernel& kernel : rendered(spec, named.graph, architecture, 0)) {
          const auto result = compiler->compile({kernel.file_name, kernel.source, architecture, kernel.compile_flags});
          INFO(named.name << " by " << agents::to_string(kernel.variant) << " for " << architecture);
          for (const auto& d : result.diagnostics) INFO(d.line << ": " << d.severity << ": " << d.message);
          CHECK_MESSAGE(result.ok, (result.diagnostics.empty() ? ""
                                                               : std::to_string(result.diagnostics[0].line) + ": " +
                                                                     result.diagnostics[0].message));
          seen.insert(architecture);
          if (has_clusters(architecture)) check_that_it_waits_first(result.object);
        }
      }
      ++turn;
    }
  }
  const std::set<std::string> needs_clusters = {"row/cluster", "row/staged"};
  for (const auto& of : compiled) {
    INFO(of.first);
    for (const char* architecture : kArchitectures)
      CHECK(of.second.contains(architecture) == (!needs_clusters.contains(of.first) || has_clusters(architecture)));
  }
}
