#include "tests/writer/against_oracle.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "agents/graph/interpreter.h"
#include "agents/search/search.h"

namespace kiln::testing {

using graph::Tensor;

Tensor small_integers(const graph::TensorType& type, unsigned seed) {
  Tensor out = Tensor::zeros(type);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::int64_t i = 0; i < out.count(); ++i) {
    state = state * 1664525u + 1013904223u;
    const int value = static_cast<int>(state >> 28) - 8;
    const bool is_unsigned = graph::name(type.dtype)[0] == 'u' || type.dtype == graph::DType::boolean;
    graph::store_double(type.dtype, out.bytes.data(), i, is_unsigned ? std::abs(value) : value);
  }
  return out;
}

Tensor any_integers(const graph::TensorType& type, unsigned seed) {
  Tensor out = Tensor::zeros(type);
  std::mt19937 random(seed);
  const int bits = static_cast<int>(8 * graph::size_of(type.dtype));
  const bool is_signed = graph::name(type.dtype)[0] == 'i';
  const std::int64_t least = is_signed ? -(std::int64_t{1} << (bits - 1)) : 0;
  std::uniform_int_distribution<std::int64_t> any(least, least + (std::int64_t{1} << bits) - 1);
  for (std::int64_t i = 0; i < out.count(); ++i) {
    const std::int64_t end = random() % 2 == 0 ? any.min() : any.max(), value = random() % 4 == 0 ? end : any(random);
    graph::store_double(type.dtype, out.bytes.data(), i, static_cast<double>(value));
  }
  return out;
}

namespace {

constexpr std::size_t kGuard = 64;  // bytes beyond an output
constexpr std::byte kUntouched{0x5a};

int wrong_elements(const Tensor& want, const std::vector<std::byte>& got, graph::DType type, double tolerance) {
  double largest = 0;
  const auto finite = [](double v) { return std::isfinite(v) ? std::fabs(v) : 0.0; };
  for (std::int64_t i = 0; i < want.count(); ++i)
    largest = std::max(largest, finite(graph::load_double(want.type.dtype, want.bytes.data(), i)));
  int wrong = 0;
  for (std::int64_t i = 0; i < want.count(); ++i) {
    const double a = graph::load_double(want.type.dtype, want.bytes.data(), i);
    const double b = graph::load_double(type, got.data(), i);
    const bool equal = a == b || (std::isnan(a) && std::isnan(b));
    wrong += equal || std::fabs(a - b) <= tolerance * largest ? 0 : 1;
  }
  for (std::size_t i = got.size() - kGuard; i < got.size(); ++i) wrong += got[i] != kUntouched;
  return wrong;
}

// The valid variant nearest to the template's defaults among those with the tunables that are asked for.
Setting valid(const store::TemplateSpec& spec, const agents::Region& region, const agents::Kernel& kernel,
              Setting setting) {
  if (spec.vendor) return setting;
  agents::NodeFacts node = this_node();
  const auto isa = setting.tunables.find("isa");
  if (isa != setting.tunables.end() && isa->second < 512) std::erase(node.features, "avx512f");
  if (isa != setting.tunables.end() && isa->second < 256) node.features.clear();
  const agents::Figures figures = agents::figures_of(kernel, node, setting.threads);
  const agents::Space space = agents::enumerate(spec, region, kernel, figures, node);
  const auto fits = [&](std::size_t row) {
    const agents::Variant v = agents::variant_of(space, row);
    for (const auto& [name, value] : setting.tunables)
      if (v.tunables.at(name) != value) return false;
    return true;
  };
  REQUIRE(space.default_row >= 0);
  std::size_t row = static_cast<std::size_t>(space.default_row);
  if (!fits(row))
    for (row = 0; row < space.rows.size() && !fits(row);) ++row;
  REQUIRE(row < space.rows.size());
  setting.tunables = agents::variant_of(space, row).tunables;
  return setting;
}

}  // namespace

int differences(const graph::Graph& g, const std::vector<Tensor>& inputs, const std::string& family,
                const std::string& name, const Setting& setting, double tolerance) {
  std::vector<std::int32_t> nodes(g.nodes.size());
  std::iota(nodes.begin(), nodes.end(), 0);
  const agents::RegionCut cut = agents::cut_region(g, nodes, g.outputs);
  const std::optional<agents::Kernel> kernel = agents::lower(cut.region);
  REQUIRE(kernel);
  const store::TemplateSpec spec = template_of(family, name);
  REQUIRE(agents::accepts(spec, *kernel));
  std::vector<const void*> read;
  for (const graph::ValueId v : cut.instance.inputs) {
    if (g.is_constant(v)) {
      read.push_back(g.constants[static_cast<std::size_t>(v)]->bytes.data());
      continue;
    }
    const auto at = std::find(g.inputs.begin(), g.inputs.end(), v) - g.inputs.begin();
    read.push_back(inputs.at(static_cast<std::size_t>(at)).bytes.data());
  }
  std::vector<std::vector<std::byte>> outputs;
  std::vector<void*> written;
  for (const graph::ValueId v : g.outputs) {
    const Tensor empty = Tensor::zeros(g.type(v));
    outputs.emplace_back(empty.bytes.size() + kGuard, kUntouched);
  }
  for (std::vector<std::byte>& output : outputs) written.push_back(output.data());
  BuiltKernel built(rendered(spec, *kernel, valid(spec, cut.region, *kernel, setting)), setting.threads);
  built.prepare(read);
  for (int repeat = 0; repeat < 2; ++repeat) built.run(read, written);
  const std::vector<Tensor> want = graph::evaluate(g, inputs, graph::Arithmetic::fp64, 2);
  int wrong = 0;
  for (std::size_t o = 0; o < want.size(); ++o)
    wrong += wrong_elements(want[o], outputs[o], g.type(g.outputs[o]).dtype, tolerance);
  return wrong;
}

int differences(const graph::Graph& g, const std::string& family, const std::string& name, const Setting& setting,
                double tolerance) {
  const std::vector<std::optional<graph::Domain>> domains = graph::input_domains(g);
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < g.inputs.size(); ++i) {
    inputs.push_back(small_integers(g.type(g.inputs[i]), static_cast<unsigned>(i) + 1));
    if (!domains[i]) continue;
    Tensor& t = inputs.back();
    const std::int64_t span = domains[i]->high - domains[i]->low + 1;
    for (std::int64_t e = 0; e < t.count(); ++e) {
      const auto value = std::llabs(static_cast<std::int64_t>(graph::load_double(t.type.dtype, t.bytes.data(), e)));
      graph::store_double(t.type.dtype, t.bytes.data(), e, static_cast<double>(domains[i]->low + value * 5 % span));
    }
  }
  return differences(g, inputs, family, name, setting, tolerance);
}

}  // namespace kiln::testing
