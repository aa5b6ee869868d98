// A trace as the conductor keeps it, invented: two regions, winners, failures, a release.
#pragma once

#include <string>

#include "agents/artifacts/facts.h"
#include "agents/benchmark/benchmark.h"
#include "agents/debugger/debugger.h"
#include "agents/evaluator/evaluator.h"
#include "runtime/base/json.h"

namespace kiln::agents::test {

inline Summary summary(double ns) { return {32, ns, ns * 0.97, ns * 0.99, ns * 1.02, ns * 0.985, ns * 1.015}; }
inline SpeedUp speed_up(double ratio) {
  return {ratio, ratio * 0.98, ratio * 1.02, ratio > 1.03 ? Comparison::faster : Comparison::same};
}

inline json::object region_trace(const std::string& key, const std::string& label, double incumbent_ns, double best_ns,
                                 double floor_ns) {
  json::array candidates, diagnoses;
  const Variant base{key, "matmul", "packed", std::string(64, 'd'), {{"mr", 8}, {"nr", 32}}};
  for (int i = 0; i < 24; ++i) {
    Variant v = base;
    v.tunables["mr"] = 4 + i;
    const bool failed = i % 7 == 3;
    const double ns = best_ns * (1 + 0.9 / (1 + i) + (i % 5) * 0.2);
    candidates.emplace_back(
        json::object{{"variant", to_json(v)},
                     {"why", i == 0  ? "default"
                             : i % 3 ? "neighbour"
                                     : "forest"},
                     {"verdict", failed              ? "wrong"
                                 : ns < incumbent_ns ? "ok"
                                                     : "slower"},
                     {"reason", failed ? "output 0 on family 'normal': largest error 3e-2" : "right and measured"},
                     {"median_ns", failed ? 0.0 : ns},
                     {"order", i},
                     {"build_ns", 900000000 + i}});
    if (!failed) continue;
    Diagnosis d{{v, Verdict::wrong, {}, {}, "family 'normal'"},
                "few elements wrong, as at a tail",
                "element 127: 0.5 instead of 0.25",
                "repaired: mr 7 -> 8",
                base,
                {}};
    if (i > 12)
      d.learned = LearnedConstraint{"matmul", "packed", {{"mr", v.tunables["mr"]}}, "failed twice and never worked"};
    diagnoses.emplace_back(to_json(d));
  }
  return {{"key", key},
          {"label", label},
          {"occurrences", 6},
          {"floor_ns", floor_ns},
          {"incumbent", json::object{{"label", "matmul/onednn"}, {"summary", to_json(summary(incumbent_ns))}}},
          {"candidates", candidates},
          {"winner", json::object{{"variant", to_json(base)},
                                  {"summary", to_json(summary(best_ns))},
                                  {"speed_up", to_json(speed_up(incumbent_ns / best_ns))},
                                  {"judgement", to_json(Judgement{Verdict::ok, "10 comparisons", 0.6, 1.2e-7})},
                                  {"floor_fraction", floor_ns / best_ns},
                                  {"bottleneck", "compute: 81 % of the measured FLOP/s"},
                                  {"source", key + ".kernel.cpp"}}},
          {"choice", to_json(RegionChoice{false, "its best candidate is 1.300x of the incumbent's kernels"})},
          {"diagnoses", diagnoses},
          {"stopped_because", "its share of the budget was spent"}};
}

inline json::object trace(const std::string& name = "minilm-l6",
                          const std::string& label = "matmul 128x1536x384 + gelu") {
  NodeFacts node;
  node.cpu_model = "Example Processor 9000";
  node.features = {"avx2", "fma", "avx512f"};
  node.cores = 8;
  node.l1d_bytes = 49152;
  node.l2_bytes = 2 << 20;
  node.l3_bytes = 32 << 20;
  node.memory_bytes = std::int64_t{64} << 30;
  node.compiler = "c++ 12.2.0";
  node.os_kernel = "Linux 6.1";
  node.bandwidth = {
      {"l1_read", 2.4e12}, {"l2_read", 9e11}, {"l3_read", 3e11}, {"memory_read", 8e10}, {"memory_copy", 6e10}};
  node.flops = {{"f32", 1.1e12}, {"f64", 5.5e11}};
  node.launch_ns = 2100;
  node.false_difference_rate = 0.004;
  node.sandbox = {"seccomp", "landlock", "no_new_privs"};
  const auto profiled = [](const std::string& key, double flops, double bytes) {
    return json::object{{"region", key},     {"label", key},     {"occurrences", 6},
                        {"flops", flops},    {"bytes", bytes},   {"intensity", flops / bytes},
                        {"compute_ns", 1.0}, {"memory_ns", 1.0}, {"floor_ns", 1.0},
                        {"limit", "compute"}};
  };
  json::array timeline;
  std::int64_t at = 1'000'000'000;
  for (const auto& [phase, seconds] : std::initializer_list<std::pair<const char*, double>>{
           {"profile", 6}, {"plan", 0.01}, {"search/aaaa", 70}, {"search/bbbb", 45}, {"decide", 12}, {"report", 0.2}}) {
    const std::int64_t end = at + static_cast<std::int64_t>(seconds * 1e9);
    timeline.emplace_back(
        json::object{{"phase", phase}, {"begin_ns", at}, {"end_ns", end}, {"detail", "24 candidates"}});
    at = end;
  }
  return {
      {"job", "j-1"},
      {"workload", json::object{{"name", name},
                                {"id", "w-1"},
                                {"graph", std::string(64, 'a')},
                                {"constants", ""},
                                {"nodes", 214},
                                {"inputs", json::array{}},
                                {"outputs", json::array{}}}},
      {"policy", json::object{{"name", "default"}, {"digest", std::string(64, 'c')}}},
      {"corpus", std::string(64, 'b')},
      {"seed", 1},
      {"node", to_json(node)},
      {"profile", json::object{{"node", to_json(node)},
                               {"floor_ns", 1.0},
                               {"regions", json::array{profiled("aaaa", 1.51e8, 3.3e6), profiled("bbbb", 1e6, 8e5)}}}},
      {"plan", json::object{{"regions", json::array{}}}},
      {"regions", json::array{region_trace("aaaa", label, 310e3, 205e3, 150e3),
                              region_trace("bbbb", "row 128x384: layer norm", 41e3, 18e3, 10e3)}},
      {"whole",
       json::object{{"incumbent_judgement", to_json(Judgement{Verdict::ok, "fine", 0.9, 1e-7})},
                    {"judgement", to_json(Judgement{Verdict::ok, "14 comparisons against the oracle", 0.7, 2.1e-7})},
                    {"incumbent", to_json(summary(3.9e6))},
                    {"tuned", to_json(summary(2.8e6))},
                    {"search_process", to_json(speed_up(1.41))},
                    {"fresh_process", to_json(speed_up(1.39))}}},
      {"decision", to_json(Decision{Comparison::faster, true, speed_up(1.39),
                                    "faster in both processes, and as right as the incumbent"})},
      {"releases", json::array{json::object{{"kind", "tuned"},
                                            {"version", 2},
                                            {"id", std::string(64, 'e')},
                                            {"objects", json::array{std::string(64, 'f'), std::string(64, '0')}}}}},
      {"timeline", timeline},
      {"rewrites", json::array{"Gelu recognised at /layer.0"}},
      {"checkpoint", "kiln node\n42\nq1w2e3\n"},
      {"versions", json::object{{"kiln", "0.1.0"}, {"compiler", "c++ 12.2.0"}}}};
}

}  // namespace kiln::agents::test
