// Whether a model can be tuned on this CPU, and what its plan would hold: imports each model, holds the oracle to the
// output that networks.py stored beside it, partitions it op by op and fused, and renders a kernel for every region.
//
//   plan_report MODEL.onnx... [--build | --templates | --plan | --regions]
//
// --plan prints launches and bytes moved of both partitions, for models without stored outputs; --regions also what
// each distinct region of the fused one computes, and how often.
// --templates only says which operators have no template on this CPU, for models without stored outputs.
// --build also compiles every kernel of the fused plan, runs the whole plan region by region and compares each region's
// outputs with the oracle's of the same inputs. Exit status 1 when any model misses anything.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <optional>

#include "agents/graph/interpreter.h"
#include "agents/planner/planner.h"
#include "agents/search/search.h"
#include "agents/writer/writer.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "tests/models/imported.h"
#include "tests/models/plan_figures.h"
#include "tests/writer/built_kernel.h"

using namespace kiln;

namespace {

constexpr std::int32_t kThreads = 2;
// Of the root mean square of the output: what 50 layers of float32 may lose against float64.
constexpr double kModelTolerance = 2e-3, kRegionTolerance = 1e-4;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::vector<store::TemplateSpec> cpu_corpus() {
  const std::filesystem::path templates = std::filesystem::path(KILN_SOURCE_DIR) / "store/corpus/templates";
  std::vector<store::TemplateSpec> out;
  for (const auto& family : std::filesystem::directory_iterator(templates))
    for (const auto& folder : std::filesystem::directory_iterator(family.path())) {
      if (!folder.is_directory()) continue;
      const std::string family_name = family.path().filename(), name = folder.path().filename();
      if (!std::filesystem::exists(folder.path() / "template.toml")) continue;
      store::TemplateSpec spec = testing::template_of(family_name, name);
      if (spec.target == "cpu") out.push_back(std::move(spec));
    }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return std::pair(a.family, a.name) < std::pair(b.family, b.name);
  });
  return out;
}

struct Corpus {
  std::vector<store::TemplateSpec> specs = cpu_corpus();
  agents::NodeFacts node = testing::this_node();

  [[nodiscard]] agents::Buildable buildable() const {
    return [this](const agents::Kernel& kernel) {
      return std::any_of(specs.begin(), specs.end(), [&](const auto& spec) { return agents::accepts(spec, kernel); });
    };
  }
  // The template's nearest variant to its defaults; own templates first. nullopt: none.
  [[nodiscard]] std::optional<agents::RenderedKernel> rendered(const agents::Region& region) const {
    const std::optional<agents::Kernel> kernel = agents::lower(region);
    if (!kernel) return std::nullopt;
    const agents::Figures figures = agents::figures_of(*kernel, node, kThreads);
    for (const bool vendor : {false, true})
      for (const store::TemplateSpec& spec : specs) {
        if (spec.vendor != vendor || !agents::accepts(spec, *kernel)) continue;
        const agents::Space space = agents::enumerate(spec, region, *kernel, figures, node);
        if (space.default_row < 0) continue;
        return agents::render(spec, region, *kernel, variant_of(space, static_cast<std::size_t>(space.default_row)),
                              figures, node);
      }
    return std::nullopt;
  }
};

double at(const graph::Tensor& t, std::int64_t i) { return graph::load_double(t.type.dtype, t.bytes.data(), i); }

// The largest difference, of the root mean square of `want`.
double difference(const graph::Tensor& want, const graph::Tensor& got) {
  double square = 0, worst = 0;
  for (std::int64_t i = 0; i < want.count(); ++i) {
    const double a = at(want, i), b = at(got, i);
    if (std::isfinite(a)) square += a * a;
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    worst = std::max(worst, std::isfinite(a) && std::isfinite(b) ? std::fabs(a - b) : INFINITY);
  }
  const double scale = std::sqrt(square / static_cast<double>(std::max<std::int64_t>(1, want.count())));
  return worst == 0 ? 0 : scale == 0 ? INFINITY : worst / scale;
}

// Runs every region by its kernel, on what the regions before it gave.
double run_regions(const graph::Graph& g, const agents::Partition& partition, const Corpus& corpus,
                   const graph::Tensor& input) {
  std::vector<std::unique_ptr<testing::BuiltKernel>> built;
  for (const agents::Region& region : partition.regions)
    built.push_back(std::make_unique<testing::BuiltKernel>(*corpus.rendered(region), kThreads));
  std::vector<graph::Tensor> values(g.values.size());
  for (std::size_t v = 0; v < g.values.size(); ++v) {
    if (!g.constants[v]) continue;
    values[v].type = g.values[v].type;
    values[v].bytes.assign(g.constants[v]->bytes.begin(), g.constants[v]->bytes.end());
  }
  values[static_cast<std::size_t>(g.inputs[0])] = input;
  double worst = 0;
  for (const agents::RegionInstance& instance : partition.instances) {
    const agents::Region& region = partition.regions[static_cast<std::size_t>(instance.region)];
    std::vector<graph::Tensor> inputs;
    std::vector<const void*> read;
    for (const graph::ValueId v : instance.inputs) {
      inputs.push_back(values[static_cast<std::size_t>(v)]);
      read.push_back(values[static_cast<std::size_t>(v)].bytes.data());
    }
    std::vector<void*> written;
    for (const graph::ValueId v : instance.outputs) {
      graph::Tensor& value = values[static_cast<std::size_t>(v)];
      value = graph::Tensor::zeros(g.type(v));
      written.push_back(value.bytes.data());
    }
    testing::BuiltKernel& kernel = *built[static_cast<std::size_t>(instance.region)];
    kernel.prepare(read);
    kernel.run(read, written);
    const std::vector<graph::Tensor> want = graph::evaluate(region.body, inputs, graph::Arithmetic::fp64, kThreads);
    for (std::size_t o = 0; o < want.size(); ++o) {
      const double error = difference(want[o], values[static_cast<std::size_t>(instance.outputs[o])]);
      if (!(error <= kRegionTolerance)) std::printf("    WRONG %.2g: %s\n", error, region.label.c_str());
      worst = std::max(worst, error);
    }
  }
  return worst;
}

bool report_templates(const std::string& file, const Corpus& corpus) {
  const std::vector<std::string> missing = agents::uncomputed(testing::imported(file), corpus.buildable());
  for (const std::string& name : missing) std::printf("%s: %s\n", file.c_str(), name.c_str());
  return missing.empty();
}

bool report_plan(const std::string& file, const Corpus& corpus, bool regions) {
  const graph::Graph g = testing::imported(file);
  const auto print = [](const char* name, const agents::Partition& partition) {
    const testing::PlanFigures figures = testing::plan_figures(partition);
    std::printf("  %s %4zu launches %10.3f MB", name, figures.launches, figures.bytes / 1e6);
  };
  std::printf("%-40s", std::filesystem::path(file).stem().c_str());
  print("op by op", agents::baseline(g, corpus.buildable()).partition);
  const agents::Partition fused = agents::partition_fused(g, corpus.buildable());
  print("fused", fused);
  std::printf("\n");
  std::vector<int> occurrences(fused.regions.size());
  for (const agents::RegionInstance& instance : fused.instances)
    ++occurrences[static_cast<std::size_t>(instance.region)];
  for (std::size_t r = 0; regions && r < occurrences.size(); ++r)
    std::printf("    x%-3d %10.3f MB  %s\n", occurrences[r], agents::cost_of(fused.regions[r]).bytes / 1e6,
                fused.regions[r].label.c_str());
  return agents::uncomputed(g, corpus.buildable()).empty();
}

bool report(const std::string& file, const Corpus& corpus, bool build) {
  const graph::Graph g = testing::imported(file);
  const std::string name = std::filesystem::path(file).stem();
  const std::string beside = file.substr(0, file.rfind(".onnx"));
  graph::Tensor input{g.type(g.inputs[0]), {}}, output{g.type(g.outputs[0]), {}};
  for (auto& [tensor, suffix] : {std::pair{&input, ".input.bin"}, std::pair{&output, ".output.bin"}}) {
    const std::string stored = read_file(beside + suffix);
    tensor->bytes.resize(stored.size());
    std::memcpy(tensor->bytes.data(), stored.data(), stored.size());
  }
  const double start = now();
  const std::vector<graph::Tensor> want = graph::evaluate(g, {input}, graph::Arithmetic::fp64, kThreads);
  const double seconds = now() - start, error = difference(want[0], output);
  bool good = error <= kModelTolerance;

  const std::vector<std::string> missing = agents::uncomputed(g, corpus.buildable());
  if (!missing.empty()) {
    std::printf("%-32s %zu operators have no template, the first: %s\n", name.c_str(), missing.size(),
                missing.front().c_str());
    return false;
  }
  const agents::Baseline base = agents::baseline(g, corpus.buildable());
  const agents::Partition fused = agents::partition_fused(g, corpus.buildable());
  std::size_t vendor = 0;
  for (const agents::Region& region : base.partition.regions) {
    const std::optional<agents::RenderedKernel> kernel = corpus.rendered(region);
    good = good && kernel;
    vendor += kernel && kernel->libraries.size() > 0 ? 1 : 0;
  }
  std::vector<agents::BuiltKernel> kernels;
  for (const agents::Region& region : fused.regions) {
    std::optional<agents::RenderedKernel> kernel = corpus.rendered(region);
    if (!kernel) {
      std::printf("    no kernel: %s\n", region.label.c_str());
      return false;
    }
    kernels.push_back({std::move(*kernel), std::string(64, '0')});
  }
  const agents::Plan plan = agents::assemble(g, fused, kernels, "", kThreads);
  std::printf("%-32s oracle %5.1f s, PyTorch differs %.1e; op by op %3zu launches, fused %3zu of %2zu kinds, "
              "%5.1f MiB of temporaries\n",
              name.c_str(), seconds, error, base.partition.instances.size(), fused.instances.size(),
              fused.regions.size(), static_cast<double>(plan.temporary_bytes) / (1 << 20));
  if (!good) std::printf("    the oracle and PyTorch differ, or a region has no kernel\n");
  if (build) {
    const double worst = run_regions(g, fused, corpus, input);
    std::printf("    built and run: the worst region differs %.1e from the oracle\n", worst);
    good = good && worst <= kRegionTolerance;
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  bool build = false, templates = false, plan = false, regions = false;
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--build") == 0) build = true;
    else if (std::strcmp(argv[i], "--templates") == 0) templates = true;
    else if (std::strcmp(argv[i], "--plan") == 0) plan = true;
    else if (std::strcmp(argv[i], "--regions") == 0) plan = regions = true;
    else files.emplace_back(argv[i]);
  }
  if (files.empty())
    return std::fprintf(stderr, "usage: plan_report MODEL.onnx... [--build | --templates | --plan | --regions]\n"), 2;
  const Corpus corpus;
  int failed = 0;
  for (const std::string& file : files) {
    try {
      const bool good = templates ? report_templates(file, corpus)
                        : plan    ? report_plan(file, corpus, regions)
                                  : report(file, corpus, build);
      failed += good ? 0 : 1;
    } catch (const Error& error) {
      std::printf("%-32s %s; %s\n", std::filesystem::path(file).stem().c_str(), error.what(), error.remedy().c_str());
      ++failed;
    }
    std::fflush(stdout);
  }
  std::printf("%zu models, %d with something missing\n", files.size(), failed);
  return failed == 0 ? 0 : 1;
}
