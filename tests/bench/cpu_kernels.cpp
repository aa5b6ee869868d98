// cpu_kernels [--threads N] [--rounds N] [--most N] [--all] [--json FILE] SHAPE...
// SHAPE: matmul:MxNxK[:epilogue]   epilogue none | bias | gelu
//        softmax:ROWSxLENGTH   layernorm:ROWSxLENGTH   attention:HEADSxSxTxD   gelu:COUNT
//
// Renders, builds and times variants of every template that accepts the kernel: the defaults and vendor kernels always,
// up to --most others spread over the space (--all: every one). Kernels are timed in turns, so that what disturbs the
// machine disturbs all; the table has minimum and median, and the share of the peak measured in the same process.
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
#include "tests/writer/built_kernel.h"

using namespace kiln;
using graph::DType;
using graph::ExprOp;

namespace {

constexpr std::pair<const char*, const char*> kTemplates[] = {
    {"matmul", "amx"},       {"matmul", "packed"},  {"matmul", "direct"},   {"matmul", "onednn"},
    {"row", "fused"},        {"row", "onednn"},     {"pointwise", "fused"}, {"pointwise", "transpose"},
    {"pointwise", "onednn"}, {"attention", "fused"}};

struct Options {
  std::int32_t threads = 1;
  int rounds = 15;
  std::size_t most = 12;
  bool all = false;
  std::string json;
  std::vector<std::string> shapes;
};

struct Workload {
  agents::Kernel kernel;
  std::vector<std::int64_t> inputs, outputs;  // elements
};

std::vector<std::int64_t> numbers(const std::string& text) {
  std::vector<std::int64_t> out;
  for (std::size_t at = 0; at < text.size();) {
    out.push_back(std::strtoll(text.c_str() + at, nullptr, 10));
    at = text.find('x', at);
    if (at == std::string::npos) break;
    ++at;
  }
  return out;
}

std::int32_t gelu(graph::Expr& e, std::int32_t x) {
  const auto erf = e.apply(ExprOp::erf, e.apply(ExprOp::mul, x, e.constant(0.70710678118654752, DType::f32)));
  return e.apply(ExprOp::mul, e.apply(ExprOp::mul, x, e.constant(0.5, DType::f32)),
                 e.apply(ExprOp::add, erf, e.constant(1, DType::f32)));
}

Workload matmul(const std::vector<std::int64_t>& s, const std::string& epilogue) {
  agents::MatmulKernel k;
  k.m = s[0];
  k.n = s[1];
  k.k = s[2];
  k.a = {0, DType::f32, 0, {k.k, 1}};
  k.b = {1, DType::f32, 0, {k.n, 1}};
  k.b_is_weight = true;
  auto result = k.epilogue.operand(0, DType::f32);
  if (epilogue == "bias" || epilogue == "gelu") {
    k.reads = {{2, DType::f32, 0, {0, 1}}};
    result = k.epilogue.apply(ExprOp::add, result, k.epilogue.operand(1, DType::f32));
  }
  if (epilogue == "gelu") result = gelu(k.epilogue, result);
  k.epilogue.results = {result};
  k.writes = {{0, DType::f32, 0, {k.n, 1}}};
  return {k, {k.m * k.k, k.k * k.n, k.n}, {k.m * k.n}};
}

Workload rows(const std::vector<std::int64_t>& s, bool softmax) {
  agents::RowKernel k;
  k.outer = {s[0]};
  k.length = s[1];
  k.reads = {{0, DType::f32, 0, {s[1], 1}}};
  auto& e = k.expr;
  const auto x = e.operand(0, DType::f32);
  if (softmax) {
    const auto weight = e.apply(ExprOp::exp, e.apply(ExprOp::sub, x, e.apply(ExprOp::row_max, x)));
    e.results = {e.apply(ExprOp::div, weight, e.apply(ExprOp::row_sum, weight))};
  } else {
    k.reads.push_back({1, DType::f32, 0, {0, 1}});
    k.reads.push_back({2, DType::f32, 0, {0, 1}});
    const auto n = e.constant(1.0 / static_cast<double>(s[1]), DType::f32);
    const auto centred = e.apply(ExprOp::sub, x, e.apply(ExprOp::mul, e.apply(ExprOp::row_sum, x), n));
    const auto variance = e.apply(ExprOp::mul, e.apply(ExprOp::row_sum, e.apply(ExprOp::mul, centred, centred)), n);
    const auto inverse = e.apply(ExprOp::rsqrt, e.apply(ExprOp::add, variance, e.constant(1e-12, DType::f32)));
    e.results = {e.apply(ExprOp::add,
                         e.apply(ExprOp::mul, e.apply(ExprOp::mul, centred, inverse), e.operand(1, DType::f32)),
                         e.operand(2, DType::f32))};
  }
  k.writes = {{0, DType::f32, 0, {s[1], 1}}};
  k.write_per_row = {false};
  return {k, {s[0] * s[1], s[1], s[1]}, {s[0] * s[1]}};
}

Workload attention(const std::vector<std::int64_t>& s) {
  agents::AttentionKernel k;
  k.batch = {s[0]};
  k.s = s[1];
  k.t = s[2];
  k.d = k.e = s[3];
  k.scale = 0.125;
  const std::int64_t row = s[0] * s[3];
  k.q = {0, DType::f32, 0, {s[3], row, 1}};
  k.k = {1, DType::f32, 0, {s[3], row, 1}};
  k.v = {2, DType::f32, 0, {s[3], row, 1}};
  k.mask = agents::Access{3, DType::f32, 0, {0, 0, 1}};
  k.out = {0, DType::f32, 0, {s[3], row, 1}};
  return {k, {s[1] * row, s[2] * row, s[2] * row, s[2]}, {s[1] * row}};
}

Workload pointwise_gelu(std::int64_t count) {
  agents::PointwiseKernel k;
  k.space = {count};
  k.reads = {{0, DType::f32, 0, {1}}};
  k.expr.results = {gelu(k.expr, k.expr.operand(0, DType::f32))};
  k.writes = {{0, DType::f32, 0, {1}}};
  return {k, {count}, {count}};
}

Workload workload_of(const std::string& shape) {
  const std::size_t colon = shape.find(':'), second = shape.find(':', colon + 1);
  const std::string kind = shape.substr(0, colon);
  const std::vector<std::int64_t> size =
      numbers(shape.substr(colon + 1, second == std::string::npos ? second : second - colon - 1));
  if (kind == "matmul" && size.size() == 3)
    return matmul(size, second == std::string::npos ? "none" : shape.substr(second + 1));
  if ((kind == "softmax" || kind == "layernorm") && size.size() == 2) return rows(size, kind == "softmax");
  if (kind == "attention" && size.size() == 4) return attention(size);
  if (kind == "gelu" && size.size() == 1) return pointwise_gelu(size[0]);
  std::fprintf(stderr, "cannot read shape '%s': see the first lines of tests/bench/cpu_kernels.cpp\n", shape.c_str());
  std::exit(2);
}

struct Contender {
  std::string name;
  bool standard = false;  // a template's default
  std::unique_ptr<testing::BuiltKernel> built;
  std::vector<testing::BoundLaunch> launches;
  std::int64_t scratch_bytes = 0;
  std::vector<double> ns;
};

struct Buffers {
  std::vector<std::vector<float>> inputs, outputs;
  std::vector<const void*> in;
  std::vector<void*> out;
  explicit Buffers(const Workload& w) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (const std::int64_t count : w.inputs) {
      inputs.emplace_back(static_cast<std::size_t>(count));
      for (float& x : inputs.back()) x = uniform(random);
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
                                {"min_ns", least},
                                {"median_ns", median},
                                {"peak_share", flops / least * 1e9 / peak}});
  }
  std::fflush(stdout);
  return {{"shape", shape}, {"threads", o.threads}, {"flops", flops}, {"variants", std::move(rows)}};
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
    else if (word == "--json") o.json = next();
    else o.shapes.push_back(word);
  }
  if (o.shapes.empty()) o.shapes = {"matmul:128x384x384:bias", "matmul:128x1536x384:gelu", "matmul:128x384x1536:bias"};
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  const Options o = options_of(argc, argv);
  const targets::cpu::CpuDescription caches = targets::cpu::detect();
  const double peak = targets::cpu::measure_ceilings(caches, o.threads).flops["f32"];
  std::printf("peak %.1f GFLOP/s on %d thread%s\n", peak / 1e9, o.threads, o.threads == 1 ? "" : "s");
  json::array results;
  for (const std::string& shape : o.shapes) results.push_back(measure(shape, o, peak));
  if (!o.json.empty())
    std::ofstream(o.json) << json::pretty(json::object{{"peak_flops", peak}, {"results", std::move(results)}}) << "\n";
}
