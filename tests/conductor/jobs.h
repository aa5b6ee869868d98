// Jobs over the fake bench: their inputs, how they run, and what to look for in what comes of it.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "agents/graph/onnx/import.h"
#include "agents/graph/serialize.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "tests/conductor/fakes.h"
#include "tests/graph/build.h"

namespace kiln::agents {

// The corpus as it stands in git, compiled into a database of its own.
inline JobInput job_on(graph::Graph workload, const std::string& name, MemoryBlobs& blobs) {
  const std::filesystem::path root = KILN_SOURCE_DIR;
  const std::filesystem::path db = std::filesystem::path(KILN_BINARY_DIR) / "conductor_test_corpus.db";
  std::filesystem::remove(db);
  store::build_corpus(root / "store/corpus/templates", root / "store/golden", db);
  JobInput input;
  input.job = "j-test";
  input.workload_name = name;
  input.corpus = store::open_corpus(db).templates;
  input.policy = policies::load_policy(root / "policies/default.toml");
  input.policy.max_candidates_per_region = 24;
  input.policy.seconds = 5;
  input.workload = std::move(workload);
  input.graph_blob = blobs.put(json::canonical(graph::to_json(input.workload)));
  const graph::ConstantLayout layout = graph::layout_constants(input.workload);
  input.constants_blob = blobs.put(graph::constant_blob(input.workload, layout));
  return input;
}

inline JobInput block_input(MemoryBlobs& blobs) {
  const std::filesystem::path root = KILN_SOURCE_DIR;
  auto model = std::make_shared<std::string>(read_file(root / "tests/models/block.onnx"));
  graph::onnx::Options options;
  options.file_name = "block.onnx";
  options.dimensions = {{"batch", 1}};
  return job_on(graph::onnx::import_model(model, std::as_bytes(std::span(*model)), options, nullptr).graph, "block",
                blobs);
}

// A row of classes for each of 32 inputs, in two regions: the matmul with its activation, and the softmax.
inline JobInput classifier_input(MemoryBlobs& blobs) {
  graph::Graph g;
  const graph::ValueId x = g.add_input("x", {graph::DType::f32, {32, 64}});
  const graph::ValueId w = g.add_constant("w", graph::test::random_floats({64, 128}, 1));
  const graph::ValueId scores =
      graph::test::apply(g, graph::ExprOp::tanh, g.add_node(graph::MatMul{}, {x, w}, "scores")[0]);
  g.outputs = g.add_node(graph::Softmax{1, false}, {scores}, "classes");
  return job_on(std::move(g), "classifier", blobs);
}

// The mean of a product's columns, of which algebra makes a product with one column.
inline JobInput mean_input(MemoryBlobs& blobs) {
  graph::Graph g;
  const graph::ValueId x = g.add_input("x", {graph::DType::f32, {32, 64}});
  const graph::ValueId w = g.add_constant("w", graph::test::random_floats({64, 128}, 1));
  const graph::ValueId y = g.add_node(graph::MatMul{}, {x, w}, "scores")[0];
  g.outputs = g.add_node(graph::Reduce{graph::Monoid::mean, {1}, false}, {y}, "mean");
  return job_on(std::move(g), "mean", blobs);
}

// `count` products, each with its activation and of a width of its own: as many kinds of regions.
inline JobInput layers_input(int count, MemoryBlobs& blobs) {
  graph::Graph g;
  graph::ValueId x = g.add_input("x", {graph::DType::f32, {4, 8}});
  for (int i = 0; i < count; ++i) {
    const graph::ValueId w =
        g.add_constant("w" + std::to_string(i), graph::test::random_floats({8 + i, 9 + i}, static_cast<unsigned>(i)));
    const graph::ValueId y = g.add_node(graph::MatMul{}, {x, w}, "layer " + std::to_string(i))[0];
    x = graph::test::apply(g, graph::ExprOp::tanh, y);
  }
  g.outputs = {x};
  return job_on(std::move(g), "layers", blobs);
}

// A clock that runs one second per five readings, so that budgets end searches.
struct Clock {
  std::int64_t ns = 0;
  std::int64_t operator()() { return ns += 200'000'000; }
};

inline JobOutcome run(const JobInput& input, FakeBench& bench, MemoryBlobs& blobs, MemoryJournal& journal,
                      std::int64_t start_ns = 0) {
  Clock clock{start_ns};
  return run_job(input, bench, blobs, journal, [](const std::string&) { return json::array{}; }, std::ref(clock));
}

// All decisions on record, one a line.
inline std::string decisions_of(const MemoryJournal& journal) {
  std::string out;
  for (const Entry& entry : journal.entries)
    if (entry.decision) out += entry.kind + "=" + entry.content + "\n";
  return out;
}

// The first region in whose label this stands, as the trace has it.
inline const json::object& region_of(const JobOutcome& outcome, const std::string& in_label) {
  for (const json::value& item : outcome.trace.at("regions").as_array())
    if (item.at("label").as_string().find(in_label) != std::string::npos) return item.as_object();
  throw Error(ErrorCode::internal, "cannot find a region of this label: " + in_label);
}

}  // namespace kiln::agents
