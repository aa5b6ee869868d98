// Imports a model and prints what import made of it: seconds, memory, nodes by kind, rewrites; with a minilm_pairs.json
// also evaluates it by the oracle and compares with PyTorch's figures.
//
//   import_report MODEL [NAME=EXTENT...] [--oracle] [--pairs FILE]
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <thread>

#include "agents/graph/interpreter.h"
#include "agents/graph/onnx/import.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

using namespace kiln;

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

long peak_mib() {
  rusage usage{};
  (void)getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

struct Arguments {
  std::string model, pairs;
  bool oracle = false;
  graph::onnx::Options options;
};

Arguments parse(int argc, char** argv) {
  Arguments out;
  out.model = argv[1];
  for (int i = 2; i < argc; ++i) {
    const std::string text = argv[i];
    const auto equals = text.find('=');
    if (text == "--oracle") out.oracle = true;
    if (text == "--pairs" && i + 1 < argc) out.pairs = argv[++i];
    if (equals != std::string::npos)
      out.options.dimensions[text.substr(0, equals)] = std::stoll(text.substr(equals + 1));
  }
  out.options.file_name = out.model;
  return out;
}

graph::onnx::Result import_file(const Arguments& arguments) {
  auto text = std::make_shared<const std::string>(read_file(arguments.model));
  const double start = now();
  const auto bytes = std::as_bytes(std::span(text->data(), text->size()));
  std::shared_ptr<const void> owner = std::move(text);
  auto result = graph::onnx::import_model(std::move(owner), bytes, arguments.options, {});
  std::printf("import: %.2f s, peak memory %ld MiB\n", now() - start, peak_mib());
  return result;
}

void print(const graph::onnx::Result& result) {
  std::map<std::string, int> kinds;
  for (const auto& node : result.graph.nodes) ++kinds[std::string(graph::kind_name(node.op))];
  std::printf("nodes:");
  for (const auto& [kind, count] : kinds) std::printf(" %s %d", kind.c_str(), count);
  std::printf("\n");
  for (const auto& line : result.rewrites) std::printf("  %s\n", line.c_str());
}

int threads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

void time_oracle(const graph::Graph& g) {
  const auto domains = graph::input_domains(g);
  std::vector<graph::Tensor> inputs;
  for (std::size_t i = 0; i < g.inputs.size(); ++i) {
    inputs.push_back(graph::Tensor::zeros(g.type(g.inputs[i])));
    for (std::int64_t e = 0; e < inputs.back().count(); ++e)
      graph::store_double(inputs.back().type.dtype, inputs.back().bytes.data(), e,
                          domains[i] ? static_cast<double>(domains[i]->high) : std::sin(static_cast<double>(e)));
  }
  for (const auto arithmetic : {graph::Arithmetic::fp64, graph::Arithmetic::model}) {
    const double start = now();
    (void)graph::evaluate(g, inputs, arithmetic, threads());
    std::printf("%s: %.2f s on %d threads, peak memory %ld MiB\n",
                arithmetic == graph::Arithmetic::fp64 ? "oracle" : "model arithmetic", now() - start, threads(),
                peak_mib());
  }
}

std::vector<double> embed(const graph::Graph& g, const json::object& pair, const std::string& side) {
  std::vector<graph::Tensor> inputs;
  for (const graph::ValueId id : g.inputs) {
    const std::string& name = g.values[static_cast<std::size_t>(id)].name;
    inputs.push_back(graph::Tensor::zeros(g.type(id)));
    if (name == "token_type_ids") continue;
    const auto values = json::get_ints(pair, side + (name == "input_ids" ? "_ids" : "_mask"), "a pair");
    std::memcpy(inputs.back().bytes.data(), values.data(), values.size() * sizeof values[0]);
  }
  const auto out = graph::evaluate(g, inputs, graph::Arithmetic::fp64, threads());
  const auto values = out[0].as<double>();
  return {values.begin(), values.end()};
}

int compare_pairs(const graph::Graph& g, const std::string& file) {
  const json::value text = json::parse(read_file(file), file, {.bytes = 64u << 20, .depth = 16});
  double worst_cosine = 0, worst_element = 0;
  for (const auto& item : json::as_array(json::at(text.as_object(), "pairs", file), file)) {
    const json::object& pair = item.as_object();
    const auto u = embed(g, pair, "a"), v = embed(g, pair, "b");
    double dot = 0;
    for (std::size_t i = 0; i < u.size(); ++i) dot += u[i] * v[i];
    worst_cosine = std::max(worst_cosine, std::fabs(dot - json::get_double(pair, "cosine", "a pair")));
    const auto& expected = json::as_array(json::at(pair, "a_embedding", "a pair"), "a pair");
    for (std::size_t i = 0; i < u.size(); ++i)
      worst_element = std::max(worst_element, std::fabs(u[i] - expected[i].to_number<double>()));
  }
  std::printf("against PyTorch: cosine differs by at most %.3g, an element by at most %.3g\n", worst_cosine,
              worst_element);
  return worst_cosine < 1e-5 && worst_element < 1e-5 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2)
    return std::fprintf(stderr, "usage: import_report MODEL [NAME=EXTENT...] [--oracle] [--pairs FILE]\n"), 2;
  try {
    const Arguments arguments = parse(argc, argv);
    const auto result = import_file(arguments);
    print(result);
    if (arguments.oracle) time_oracle(result.graph);
    return arguments.pairs.empty() ? 0 : compare_pairs(result.graph, arguments.pairs);
  } catch (const Error& error) {
    std::fprintf(stderr, "import_report: %s; %s\n", error.what(), error.remedy().c_str());
    return 1;
  }
}
