// cpu_kernels [--threads N] [--rounds N] [--most N] [--all] [--only FAMILY/NAME] [--bars] [--json FILE] SHAPE...
// SHAPE: see tests/bench/kernel_shapes.h. --bars: a list of shapes with what each must reach, and exit status 1 when
// one does not: products and 3x3 convolutions 90 % of oneDNN's speed, depthwise and transposed ones 1.5 times it, fused
// regions that memory limits 85 % of the bandwidth that was measured.
//
// Renders, builds and times variants of every template that accepts the kernel: the defaults and vendor kernels always,
// up to --most others spread over the space (--all: every one; --only: of that template). Kernels are timed in turns,
// so that what disturbs the machine disturbs all; the table has minimum and median, and the share of the peak measured
// in the same process.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <random>
#include <thread>

#include "daemon/targets/cpu/ceilings.h"
#include "runtime/base/json.h"
#include "runtime/thread_pool.h"
#include "tests/bench/kernel_shapes.h"
#include "tests/writer/built_kernel.h"

using namespace kiln;
using bench::Workload;
using bench::workload_of;

namespace {

constexpr std::pair<const char*, const char*> kTemplates[] = {
    {"matmul", "amx_bf16"},  {"matmul", "avx512_bf16"}, {"matmul", "amx_int8"}, {"matmul", "avx512_vnni"},
    {"matmul", "amx"},       {"matmul", "packed"},  {"matmul", "direct"},   {"matmul", "onednn"},
    {"row", "fused"},        {"row", "onednn"},     {"pointwise", "fused"}, {"pointwise", "transpose"},
    {"pointwise", "onednn"}, {"attention", "fused"}, {"convolution", "direct"}, {"convolution", "channels"},
    {"convolution", "amx"},  {"convolution", "amx_int8"}, {"convolution", "avx512_vnni"}, {"convolution", "onednn"}};

struct Options {
  std::int32_t threads = 1;
  int rounds = 15;
  std::size_t most = 12;
  bool all = false, bars = false;
  std::string only, json;
  std::vector<std::string> shapes;
};

// What a shape is held to: a share of oneDNN's speed, or of the copy bandwidth of memory.
struct Bar {
  const char* shape;
  double of_vendor = 0, of_bandwidth = 0;
};
constexpr Bar kBars[] = {{"matmul:256x256x256", 0.9, 0},
                         {"matmul:512x512x512", 0.9, 0},
                         {"matmul:1024x1024x1024", 0.9, 0},
                         {"matmul:2048x2048x2048", 0.9, 0},
                         {"conv:1x64x56x56:64x3x1", 0.9, 0},
                         {"conv:1x128x28x28:128x3x1", 0.9, 0},
                         {"conv:1x256x14x14:256x3x1", 0.9, 0},
                         {"conv:1x512x7x7:512x3x1", 0.9, 0},
                         {"conv:8x64x56x56:64x3x1", 0.9, 0},
                         {"conv:1x96x56x56:96x3x1x96", 1.5, 0},
                         {"conv:1x384x14x14:384x3x1x384", 1.5, 0},
                         {"conv:8x144x28x28:144x5x2x144", 1.5, 0},
                         {"deconv:1x128x14x14:64x4x2", 1.5, 0},
                         {"deconv:1x64x32x32:32x2x2", 1.5, 0},
                         {"gelu:33554432", 0, 0.85},
                         {"softmax:32768x1024", 0, 0.85},
                         {"layernorm:32768x1024", 0, 0.85}};

struct Contender {
  std::string name;
  bool standard = false;  // a template's default
  bool vendor = false;
  std::unique_ptr<testing::BuiltKernel> built;
  std::vector<testing::BoundLaunch> launches;
  std::int64_t scratch_bytes = 0;
  std::vector<double> ns;
};

struct Buffers {
  std::vector<std::vector<std::byte>> inputs;
  std::vector<std::vector<float>> outputs;  // of four bytes an element or less
  std::vector<const void*> in;
  std::vector<void*> out;
  explicit Buffers(const Workload& w) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (std::size_t i = 0; i < w.inputs.size(); ++i) {
      const graph::DType type = i < w.types.size() ? w.types[i] : graph::DType::f32;
      inputs.emplace_back(static_cast<std::size_t>(w.inputs[i]) * graph::size_of(type));
      const double scale = graph::is_integer(type) ? 100 : 1;
      for (std::int64_t e = 0; e < w.inputs[i]; ++e)
        graph::store_double(type, inputs.back().data(), e, scale * static_cast<double>(uniform(random)));
    }
    for (const std::int64_t count : w.outputs) outputs.emplace_back(static_cast<std::size_t>(count));
    for (const auto& x : inputs) in.push_back(x.data());
    for (auto& x : outputs) out.push_back(x.data());
  }
};

std::vector<std::size_t> chosen_rows(const agents::Space& space, const Options& o) {
  std::vector<std::size_t> rows = {static_cast<std::size_t>(space.default_row)};
  const std::size_t wanted = o.all ? space.rows.size() : std::min(o.most, space.rows.size());
  for (std::size_t i = 0; i < wanted; ++i) {
    const std::size_t row = i * space.rows.size() / std::max<std::size_t>(1, wanted);
    if (row != rows[0]) rows.push_back(row);
  }
  return rows;
}

std::vector<Contender> contenders_for(const Workload& w, const Options& o, Buffers& buffers) {
  agents::Region region;
  region.key = "0123456789abcdef";
  region.label = agents::describe(w.kernel);
  const agents::NodeFacts node = testing::this_node();
  const agents::Figures figures = agents::figures_of(w.kernel, node, o.threads);
  std::vector<Contender> out;
  for (const auto& [family, name] : kTemplates) {
    if (!o.only.empty() && o.only != std::string(family) + "/" + name) continue;
    const store::TemplateSpec spec = testing::template_of(family, name);
    if (!agents::accepts(spec, w.kernel)) continue;
    const agents::Space space = agents::enumerate(spec, region, w.kernel, figures, node);
    if (space.rows.empty()) continue;
    std::printf("  %s/%s: %zu variants\n", family, name, space.rows.size());
    bool standard = true;
    for (const std::size_t row : chosen_rows(space, o)) {
      const agents::Variant variant = agents::variant_of(space, row);
      Contender c;
      c.name = agents::to_string(variant);
      c.standard = std::exchange(standard, false);
      c.vendor = spec.vendor;
      const agents::RenderedKernel kernel = agents::render(spec, region, w.kernel, variant, figures, node);
      c.built = std::make_unique<testing::BuiltKernel>(kernel, o.threads);
      c.built->prepare(buffers.in);
      c.launches = c.built->bind(buffers.in, buffers.out);
      for (const auto& launch : c.launches) c.scratch_bytes = std::max(c.scratch_bytes, launch.scratch_bytes);
      out.push_back(std::move(c));
    }
  }
  return out;
}

// One thread is timed by its own clock, which stands still while others have the core.
double now_ns(std::int32_t threads) {
  timespec t{};
  (void)clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);  // both exist on every Linux
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

// A sample is as many calls as fill two milliseconds; the first is not counted.
void sample(Contender& c, runtime::ThreadPool& pool, std::int32_t threads, int calls) {
  const auto once = [&] {
    for (const testing::BoundLaunch& launch : c.launches)
      pool.run({launch.function, launch.args.data(), launch.tasks, launch.state});
  };
  once();
  const double begin = now_ns(threads);
  for (int i = 0; i < calls; ++i) once();
  c.ns.push_back((now_ns(threads) - begin) / calls);
}

json::object measure(const std::string& shape, const Options& o, double peak) {
  const Workload w = workload_of(shape);
  Buffers buffers(w);
  std::printf("%s, %d thread%s\n", shape.c_str(), o.threads, o.threads == 1 ? "" : "s");
  std::vector<Contender> list = contenders_for(w, o, buffers);
  std::int64_t scratch = 0;
  for (const Contender& c : list) scratch = std::max(scratch, c.scratch_bytes);
  const double flops = agents::figures_of(w.kernel, testing::this_node(), o.threads).at("flops");
  const int calls = std::max(1, static_cast<int>(2e6 / (flops / peak * 1e9 + 1e3)));
  runtime::ThreadPool pool(o.threads, scratch);
  for (int round = 0; round < o.rounds; ++round)
    for (Contender& c : list) sample(c, pool, o.threads, calls);

  for (Contender& c : list) std::sort(c.ns.begin(), c.ns.end());
  std::sort(list.begin(), list.end(),
            [](const Contender& a, const Contender& b) { return a.ns.front() < b.ns.front(); });
  json::array rows;
  for (const Contender& c : list) {
    const double least = c.ns.front(), median = c.ns[c.ns.size() / 2];
    std::printf("  %10.1f us min %10.1f us median %6.1f GFLOP/s %5.1f%% %s%s\n", least / 1e3, median / 1e3,
                flops / least, 100 * flops / least * 1e9 / peak, c.name.c_str(), c.standard ? " (default)" : "");
    rows.push_back(json::object{{"variant", c.name},
                                {"default", c.standard},
                                {"vendor", c.vendor},
                                {"min_ns", least},
                                {"median_ns", median},
                                {"peak_share", flops / least * 1e9 / peak}});
  }
  std::fflush(stdout);
  const double bytes = agents::figures_of(w.kernel, testing::this_node(), o.threads).at("bytes");
  return {{"shape", shape}, {"threads", o.threads}, {"flops", flops}, {"bytes", bytes}, {"variants", std::move(rows)}};
}

// The fastest variant of ours, or of the vendor's; infinite when there is none.
double least_ns(const json::object& result, bool vendor) {
  double least = std::numeric_limits<double>::infinity();
  for (const json::value& row : result.at("variants").as_array())
    if (row.at("vendor").as_bool() == vendor) least = std::min(least, row.at("min_ns").as_double());
  return least;
}

// Prints each shape with its figure and its bar; returns how many are missed.
int compare_with_bars(json::array& results, double copy_bandwidth) {
  int missed = 0;
  std::printf("\n%-32s %12s %12s %10s %6s\n", "shape", "ours us", "oneDNN us", "figure", "bar");
  for (std::size_t i = 0; i < results.size(); ++i) {
    json::object& result = results[i].as_object();
    const Bar& bar = kBars[i];
    const double ours = least_ns(result, false), vendor = least_ns(result, true);
    const double figure =
        bar.of_vendor > 0 ? vendor / ours : result.at("bytes").as_double() / ours * 1e9 / copy_bandwidth;
    const double wanted = bar.of_vendor + bar.of_bandwidth;
    std::printf("%-32s %12.1f %12.1f %9.2f%s %6.2f%s\n", bar.shape, ours / 1e3, vendor / 1e3, figure,
                bar.of_vendor > 0 ? "x" : " ", wanted, figure < wanted ? "  missed" : "");
    missed += figure < wanted ? 1 : 0;
    result["figure"] = figure;
    result["bar"] = wanted;
  }
  std::printf("%d of %zu bars are missed\n", missed, results.size());
  return missed;
}

Options options_of(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto next = [&] { return i + 1 < argc ? argv[++i] : ""; };
    if (word == "--threads") o.threads = std::atoi(next());
    else if (word == "--rounds") o.rounds = std::atoi(next());
    else if (word == "--most") o.most = static_cast<std::size_t>(std::atoi(next()));
    else if (word == "--all") o.all = true;
    else if (word == "--bars") o.bars = true;
    else if (word == "--only") o.only = next();
    else if (word == "--json") o.json = next();
    else o.shapes.push_back(word);
  }
  if (o.shapes.empty()) o.shapes = {"matmul:128x384x384:bias", "matmul:128x1536x384:gelu", "matmul:128x384x1536:bias"};
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  Options o = options_of(argc, argv);
  const targets::cpu::CpuDescription caches = targets::cpu::detect();
  const targets::cpu::Ceilings ceilings = targets::cpu::measure_ceilings(caches, o.threads);
  const double peak = ceilings.flops.at("f32"), copy = ceilings.bandwidth.at("memory_copy");
  std::printf("peak %.1f GFLOP/s, copies %.1f GB/s on %d thread%s\n", peak / 1e9, copy / 1e9, o.threads,
              o.threads == 1 ? "" : "s");
  if (o.bars) {
    o.shapes.clear();
    for (const Bar& bar : kBars) o.shapes.emplace_back(bar.shape);
  }
  json::array results;
  for (const std::string& shape : o.shapes) results.push_back(measure(shape, o, peak));
  const int missed = o.bars ? compare_with_bars(results, copy) : 0;
  if (!o.json.empty())
    std::ofstream(o.json) << json::pretty(json::object{
                                 {"peak_flops", peak}, {"copy_bandwidth", copy}, {"results", std::move(results)}})
                          << "\n";
  return missed == 0 ? 0 : 1;
}
