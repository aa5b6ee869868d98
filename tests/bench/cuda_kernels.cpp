// The kernels of target cuda on a real GPU. Every graph of tests/cuda/graphs.h by variants of every template that
// takes it: first small ones against the oracle, then large ones against the measured copy bandwidth. Needs the
// driver and NVRTC.
//
//   cuda_kernels check|bench [VARIANTS] [WORDS] [TEMPLATE]    variants per template, 8 unless given: its default, half
//   of them those that the first guess is best of, where there is one, and others drawn; only graphs or templates
//   ("row/persistent") whose name holds WORDS, and of these only templates whose name holds TEMPLATE
//
// Exit status 0: all right; 1: a kernel is wrong; 2: no kernel has these words, and all names are listed.
//
// bench prints a row per template and graph, the fastest first, and writes one per variant to kernels.json in the
// folder OUT, if the environment names one.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agents/evaluator/evaluator.h"
#include "agents/graph/domains.h"
#include "agents/graph/interpreter.h"
#include "agents/graph/roundings.h"
#include "daemon/targets/cuda/ceilings.h"
#include "daemon/targets/cuda/compile.h"
#include "daemon/worker/compare.h"
#include "daemon/worker/gpu_facts.h"
#include "daemon/worker/inputs.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/random.h"
#include "tests/cuda/device_kernel.h"
#include "tests/cuda/graphs.h"
#include "tests/cuda/kernel_pick.h"

using namespace kiln;
using targets::cuda::DeviceMemory;
using targets::cuda::Gpu;

namespace {

struct World {
  Gpu gpu{0};
  targets::cuda::Compiler compiler;
  agents::NodeFacts node;

  World() { node.gpu = worker::gpu_facts(gpu.description()); }
};

// What each kernel compiles to, by all cores: a GPU's time is dearer than a CPU's.
std::vector<targets::cuda::CompileResult> compiled(const World& world,
                                                   const std::vector<agents::RenderedKernel>& kernels) {
  std::vector<targets::cuda::CompileResult> out(kernels.size());
  std::atomic<std::size_t> next = 0;
  std::vector<std::jthread> threads(std::min<std::size_t>(kernels.size(), std::thread::hardware_concurrency()));
  for (std::jthread& thread : threads)
    thread = std::jthread([&] {
      for (std::size_t i = next++; i < kernels.size(); i = next++)
        out[i] = world.compiler.compile(
            {kernels[i].file_name, kernels[i].source, kernels[i].architecture, kernels[i].compile_flags});
    });
  threads.clear();  // joins them
  return out;
}

// A compiled kernel, loaded and ready to launch.
class Loaded {
 public:
  Loaded(World& world, const agents::RenderedKernel& kernel, targets::cuda::CompileResult compiled)
      : result(std::move(compiled)), gpu_(world.gpu), kernel_(kernel) {
    if (!result.ok) return;
    kiln::cuda::check(gpu_.api(), gpu_.api().cuModuleLoadData(&module_, result.object.data()), "load the kernel");
    for (const std::int64_t bytes : kernel.temporary_bytes)
      temporary_.push_back(gpu_.allocate(static_cast<std::size_t>(bytes)));
  }
  ~Loaded() {
    if (module_) (void)gpu_.api().cuModuleUnload(module_);  // ignoring: the program ends soon
  }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  void enqueue(const std::vector<DeviceMemory>& inputs, const std::vector<DeviceMemory>& outputs) {
    for (const agents::RenderedLaunch& launch : kernel_.run) {
      kiln::cuda::Function function = nullptr;
      kiln::cuda::check(gpu_.api(), gpu_.api().cuModuleGetFunction(&function, module_, launch.symbol.c_str()),
                        "find the kernel");
      std::vector<kiln::cuda::DevicePointer> arguments;
      for (const agents::RenderedArg& arg : launch.args) {
        const auto i = static_cast<std::size_t>(arg.index);
        const bool in = arg.kind == agents::RenderedArg::Kind::input,
                   out = arg.kind == agents::RenderedArg::Kind::output;
        arguments.push_back((in ? inputs : out ? outputs : temporary_).at(i).address());
      }
      kiln::cuda::LaunchAttribute attributes[2]{};
      if (launch.geometry->cooperative) {
        attributes[0].id = kiln::cuda::LaunchAttributeId::cooperative;
        attributes[0].value.cooperative = 1;
      } else {
        attributes[0].id = kiln::cuda::LaunchAttributeId::cluster_dimension;
        attributes[0].value.cluster = {static_cast<unsigned>(launch.geometry->cluster), 1, 1};
      }
      attributes[1].id = kiln::cuda::LaunchAttributeId::programmatic_stream_serialization;
      attributes[1].value.programmatic = launch.geometry->programmatic ? 1 : 0;
      const kiln::cuda::LaunchConfig config = {static_cast<unsigned>(launch.tasks),
                                               1,
                                               1,
                                               static_cast<unsigned>(launch.geometry->block_threads),
                                               1,
                                               1,
                                               static_cast<unsigned>(launch.geometry->shared_bytes),
                                               gpu_.stream(),
                                               attributes,
                                               launch.geometry->programmatic ? 2u : 1u};
      if (launch.geometry->cluster > 8)  // the most that every GPU with clusters has
        kiln::cuda::check(
            gpu_.api(), gpu_.api().cuFuncSetAttribute(function, kiln::cuda::FunctionAttribute::non_portable_cluster, 1),
            "take a large cluster");
      if (launch.geometry->shared_bytes > 48 << 10)
        kiln::cuda::check(
            gpu_.api(),
            gpu_.api().cuFuncSetAttribute(function, kiln::cuda::FunctionAttribute::max_dynamic_shared_bytes,
                                          static_cast<int>(launch.geometry->shared_bytes)),
            "take shared memory");
      void* parameters[] = {arguments.data()};
      kiln::cuda::check(gpu_.api(), gpu_.api().cuLaunchKernelEx(&config, function, parameters, nullptr),
                        "launch the kernel");
    }
  }

  targets::cuda::CompileResult result;

 private:
  Gpu& gpu_;
  const agents::RenderedKernel kernel_;
  kiln::cuda::Module module_ = nullptr;
  std::vector<DeviceMemory> temporary_;
};

struct Candidate {
  agents::Region region;
  std::vector<agents::RenderedKernel> kernels;
};

// The rows of the least estimates.
std::vector<std::size_t> likely_rows(const agents::Space& space, std::size_t count) {
  std::vector<std::size_t> rows(space.estimate_ns.size());
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  std::stable_sort(rows.begin(), rows.end(),
                   [&](std::size_t a, std::size_t b) { return space.estimate_ns[a] < space.estimate_ns[b]; });
  rows.resize(std::min(rows.size(), count));
  return rows;
}

// The default of each template, those that its first guess is best of, and others drawn from its space.
Candidate candidates(const World& world, const testing::NamedGraph& named, std::size_t variants,
                     const testing::KernelPick& pick) {
  const graph::Graph& g = named.graph;
  std::vector<std::int32_t> nodes(g.nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i] = static_cast<std::int32_t>(i);
  Candidate out{agents::cut_region(g, nodes).region, {}};
  const std::optional<agents::Kernel> kernel = agents::lower(out.region);
  if (!kernel) return out;
  const agents::Figures figures = agents::figures_of(*kernel, world.node, 1);
  SplitMix64 random(1);
  for (const store::TemplateSpec& spec : testing::device_templates()) {
    if (!pick.takes(named.name, spec.family + "/" + spec.name) || !agents::accepts(spec, *kernel)) continue;
    const agents::Space space = agents::enumerate(spec, out.region, *kernel, figures, world.node);
    if (space.rows.empty()) continue;
    std::vector<std::size_t> rows = {static_cast<std::size_t>(std::max(0, space.default_row))};
    const auto add = [&rows](std::size_t row) {
      if (std::find(rows.begin(), rows.end(), row) == rows.end()) rows.push_back(row);
    };
    for (const std::size_t row : likely_rows(space, variants / 2)) add(row);
    while (rows.size() < std::min(variants, space.rows.size()))
      add(static_cast<std::size_t>(random.below(space.rows.size())));
    for (const std::size_t row : rows)
      out.kernels.push_back(
          agents::render(spec, out.region, *kernel, agents::variant_of(space, row), figures, world.node));
  }
  return out;
}

int nothing_picked(const testing::KernelPick& pick, const std::vector<testing::NamedGraph>& all) {
  std::vector<std::string> graphs, templates;
  for (const testing::NamedGraph& named : all) graphs.push_back(named.name);
  for (const store::TemplateSpec& spec : testing::device_templates())
    templates.push_back(spec.family + "/" + spec.name);
  fmt::print(stderr, "{}", pick.choices(graphs, templates));
  return 2;
}

int check(World& world, std::size_t variants, const testing::KernelPick& pick) {
  int wrong = 0, right = 0, spilled = 0;
  std::size_t picked = 0;
  const std::vector<testing::NamedGraph> graphs = testing::device_graphs();
  for (const testing::NamedGraph& named : graphs) {
    const Candidate candidate = candidates(world, named, variants, pick);
    picked += candidate.kernels.size();
    const graph::Graph& body = candidate.region.body;
    const std::vector<std::optional<graph::Domain>> domains = graph::input_domains(body);
    const std::vector<targets::cuda::CompileResult> objects = compiled(world, candidate.kernels);
    for (std::size_t k = 0; k < objects.size(); ++k) {
      const agents::RenderedKernel& kernel = candidate.kernels[k];
      Loaded loaded(world, kernel, objects[k]);
      if (!loaded.result.ok) {
        const auto& diagnostics = loaded.result.diagnostics;  // warnings may come before what failed
        const bool spills = std::any_of(diagnostics.begin(), diagnostics.end(),
                                        [](const auto& d) { return d.message.find("spills") != std::string::npos; });
        ++(spills ? spilled : wrong);
        if (!spills)
          fmt::print("NOT BUILT {}: {}: {}\n", named.name, agents::to_string(kernel.variant),
                     loaded.result.diagnostics.front().message);
        continue;
      }
      for (const char* family : {"normal", "heavy_tail", "integers"}) {
        std::vector<graph::Tensor> values;
        std::vector<DeviceMemory> inputs, outputs;
        for (std::size_t i = 0; i < body.inputs.size(); ++i) {
          values.push_back(worker::make_input(body.type(body.inputs[i]), domains[i], family, 3, i));
          inputs.push_back(world.gpu.allocate(values.back().bytes.size()));
          world.gpu.copy_in(inputs.back().address(), values.back().bytes);
        }
        for (const graph::ValueId id : body.outputs) {
          outputs.push_back(world.gpu.allocate(static_cast<std::size_t>(graph::element_count(body.type(id).shape)) *
                                               graph::size_of(body.type(id).dtype)));
          kiln::cuda::check(world.gpu.api(),
                            world.gpu.api().cuMemsetD8Async(outputs.back().address(), 0xff, outputs.back().bytes(),
                                                            world.gpu.stream()),
                            "poison");
        }
        loaded.enqueue(inputs, outputs);
        world.gpu.synchronize();
        const auto expected = graph::evaluate(body, values, graph::Arithmetic::fp64),
                   plain = graph::evaluate(body, values, graph::Arithmetic::model);
        agents::CheckFact fact;
        for (std::size_t i = 0; i < outputs.size(); ++i) {
          std::vector<std::byte> got(outputs[i].bytes());
          world.gpu.copy_out(got, outputs[i].address());
          fact.errors.push_back(worker::compare_output(got, plain[i], expected[i]));
          fact.errors.back().family = family;
        }
        const double chain = graph::longest_chain_of_roundings(body);
        const agents::Judgement judgement = agents::judge(fact, policies::Policy{}, chain);
        ++(judgement.verdict == agents::Verdict::ok ? right : wrong);
        if (judgement.verdict != agents::Verdict::ok)
          fmt::print("WRONG {}: {}: {}\n", named.name, agents::to_string(kernel.variant), judgement.reason);
      }
    }
  }
  if (picked == 0) return nothing_picked(pick, graphs);
  fmt::print("{} right, {} wrong, {} variants spilled and were not run\n", right, wrong, spilled);
  return wrong == 0 ? 0 : 1;
}

// With `domains` random numbers, which stay in them.
std::vector<DeviceMemory> filled(World& world, const graph::Graph& g, const std::vector<graph::ValueId>& values,
                                 const std::vector<std::optional<graph::Domain>>& domains = {}) {
  std::vector<DeviceMemory> out;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const graph::TensorType& type = g.type(values[i]);
    const std::size_t bytes = static_cast<std::size_t>(graph::element_count(type.shape)) * graph::size_of(type.dtype);
    out.push_back(world.gpu.allocate(bytes));
    if (domains.empty()) continue;
    const std::size_t made = std::min(bytes, std::size_t{16} << 20);
    const graph::Tensor part = worker::make_input(
        {type.dtype, {static_cast<std::int64_t>(made / graph::size_of(type.dtype))}}, domains[i], "normal", 5, i);
    world.gpu.copy_in(out.back().address(), part.bytes);
    for (std::size_t at = made; at < bytes; at += made)
      kiln::cuda::check(world.gpu.api(),
                        world.gpu.api().cuMemcpyDtoDAsync_v2(out.back().address() + at, out.back().address(),
                                                             std::min(made, bytes - at), world.gpu.stream()),
                        "copy");
  }
  world.gpu.synchronize();
  return out;
}

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}

struct Timed {
  double first = 0, best = 0;  // nanoseconds of the first variant and of the fastest
  std::string by;
  std::int32_t registers = 0, variants = 0;
};

// The variants of each template, one after another; medians of nine cold calls.
std::map<std::string, Timed> timed(World& world, const std::string& name, const Candidate& candidate,
                                   json::array& rows) {
  std::map<std::string, Timed> out;
  const auto inputs = filled(world, candidate.region.body, candidate.region.body.inputs,
                             graph::weight_domains(candidate.region.body));
  const auto outputs = filled(world, candidate.region.body, candidate.region.body.outputs);
  const std::vector<targets::cuda::CompileResult> objects = compiled(world, candidate.kernels);
  for (std::size_t k = 0; k < objects.size(); ++k) {
    if (!objects[k].ok) continue;
    const agents::RenderedKernel& kernel = candidate.kernels[k];
    Loaded loaded(world, kernel, objects[k]);
    std::vector<double> ns;
    for (int i = 0; i < 9; ++i) {
      world.gpu.flush_l2();
      ns.push_back(world.gpu.time_ns(static_cast<int>(kernel.run.size()), [&] { loaded.enqueue(inputs, outputs); }));
    }
    Timed& of = out[kernel.variant.family + "/" + kernel.variant.template_name];
    const double time = median(ns);
    rows.push_back(json::object{{"region", name},
                                {"template", kernel.variant.family + "/" + kernel.variant.template_name},
                                {"tunables", boost::json::value_from(kernel.variant.tunables)},
                                {"ns", time}});
    if (++of.variants == 1) of.first = time;
    if (of.variants > 1 && time >= of.best) continue;
    of.best = time;
    of.by = agents::to_string(kernel.variant);
    of.registers = loaded.result.kernels.empty() ? 0 : loaded.result.kernels.back().registers;
  }
  return out;
}

int bench(World& world, std::size_t variants, const testing::KernelPick& pick) {
  const auto built = world.compiler.compile(
      {"ceilings.cu", targets::cuda::ceiling_kernels_source(), world.node.gpu->architecture, {}, true});
  const targets::cuda::GpuCeilings ceilings = targets::cuda::measure_ceilings(world.gpu, built.object);
  for (const auto& [name, rate] : ceilings.bandwidth) fmt::print("{:<14} {:8.0f} GB/s\n", name, rate * 1e-9);
  for (const auto& [name, rate] : ceilings.flops) fmt::print("{:<14} {:8.2f} TFLOP/s\n", name, rate * 1e-12);
  fmt::print("launch         {:8.0f} ns\n\n{:<34} {:>9} {:>7} {:>6} {:>9}  best variant\n", ceilings.launch_ns,
             "region", "us", "GB/s", "%copy", "default");
  json::array rows;
  std::size_t picked = 0;
  const std::vector<testing::NamedGraph> graphs = testing::large_graphs();
  for (const testing::NamedGraph& named : graphs) {
    const Candidate candidate = candidates(world, named, variants, pick);
    if (candidate.kernels.empty()) continue;
    picked += candidate.kernels.size();
    const double bytes = agents::cost_of(candidate.region).bytes;
    const std::map<std::string, Timed> all = timed(world, named.name, candidate, rows);
    std::vector<const Timed*> fastest_first;
    for (const auto& of : all) fastest_first.push_back(&of.second);
    std::sort(fastest_first.begin(), fastest_first.end(), [](auto* a, auto* b) { return a->best < b->best; });
    for (const Timed* of : fastest_first) {
      fmt::print("{:<34} {:9.1f} {:7.0f} {:5.1f}% {:9.1f}  {} ({} registers)\n", named.name, of->best * 1e-3,
                 bytes / of->best, 100 * bytes / of->best / (ceilings.bandwidth.at("memory_copy") * 1e-9),
                 of->first * 1e-3, of->by, of->registers);
    }
    std::fflush(stdout);
  }
  if (picked == 0) return nothing_picked(pick, graphs);
  if (const char* folder = std::getenv("OUT"))
    std::ofstream(std::string(folder) + "/kernels.json") << json::pretty(rows) << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const std::size_t variants = argc > 2 ? static_cast<std::size_t>(std::atoi(argv[2])) : 8;
  const testing::KernelPick pick(argc > 3 ? argv[3] : "", argc > 4 ? argv[4] : "");
  try {
    World world;
    fmt::print("{}, {}, {}\n", world.node.gpu->name, world.node.gpu->architecture, world.compiler.version());
    if (what == "check") return check(world, variants, pick);
    if (what == "bench") return bench(world, variants, pick);
    fmt::print(stderr, "usage: cuda_kernels check|bench [VARIANTS] [WORDS] [TEMPLATE]\n");
    return 2;
  } catch (const Error& error) {
    fmt::print(stderr, "cuda_kernels: {}\n", error.what());
    return 1;
  }
}
