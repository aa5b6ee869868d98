#include "agents/artifacts/facts.h"

#include "agents/artifacts/fields.h"

namespace kiln::agents {
namespace {

json::object figures_json(const std::map<std::string, double>& figures) {
  json::object out;
  for (const auto& [key, figure] : figures) out[key] = fields::number(figure);
  return out;
}

std::map<std::string, double> figures_from_json(const json::object& o, std::string_view key, std::string_view what) {
  std::map<std::string, double> out;
  for (const auto& member : json::as_object(json::at(o, key, what), what))
    out[std::string(member.key())] = fields::number(member.value(), what);
  return out;
}

json::object to_json(const ErrorFact& e) {
  return {{"family", e.family},
          {"output", e.output},
          {"normwise", fields::number(e.normwise)},
          {"normwise_plain", fields::number(e.normwise_plain)},
          {"max_scaled", fields::number(e.max_scaled)},
          {"max_scaled_plain", fields::number(e.max_scaled_plain)},
          {"mismatched_nonfinite", e.mismatched_nonfinite},
          {"worst_index", e.worst_index},
          {"worst_value", fields::number(e.worst_value)},
          {"worst_expected", fields::number(e.worst_expected)}};
}

ErrorFact error_from_json(const json::value& v) {
  constexpr std::string_view what = "error of a check fact";
  const json::object& o = json::as_object(v, what);
  ErrorFact e;
  e.family = json::get_string(o, "family", what);
  e.output = fields::small_count(o, "output", what);
  e.normwise = fields::number(o, "normwise", what);
  e.normwise_plain = fields::number(o, "normwise_plain", what);
  e.max_scaled = fields::number(o, "max_scaled", what);
  e.max_scaled_plain = fields::number(o, "max_scaled_plain", what);
  e.mismatched_nonfinite = fields::count(o, "mismatched_nonfinite", what);
  e.worst_index = fields::count(o, "worst_index", what);
  e.worst_value = fields::number(o, "worst_value", what);
  e.worst_expected = fields::number(o, "worst_expected", what);
  return e;
}

json::object to_json(const Diagnostic& d) {
  return {{"file", d.file}, {"line", d.line}, {"severity", d.severity}, {"message", d.message}};
}

Diagnostic diagnostic_from_json(const json::value& v) {
  constexpr std::string_view what = "diagnostic of a build fact";
  const json::object& o = json::as_object(v, what);
  return {json::get_string(o, "file", what), fields::small_count(o, "line", what),
          json::get_string(o, "severity", what), json::get_string(o, "message", what)};
}

json::object to_json(const SampleFact::Subject& s) {
  json::array launches;
  json::array errors;
  for (const ErrorFact& e : s.errors) errors.emplace_back(to_json(e));
  for (const std::vector<double>& launch : s.launch_ns) launches.emplace_back(fields::numbers(launch));
  return {{"name", s.name},
          {"verdict", name(s.verdict)},
          {"evidence", s.evidence},
          {"ns", fields::numbers(s.ns)},
          {"errors", std::move(errors)},
          {"launch_ns", std::move(launches)}};
}

SampleFact::Subject subject_from_json(const json::value& v) {
  constexpr std::string_view what = "subject of a sample fact";
  const json::object& o = json::as_object(v, what);
  SampleFact::Subject s;
  s.name = json::get_string(o, "name", what);
  s.verdict = verdict_from_name(json::get_string(o, "verdict", what));
  s.evidence = json::get_string(o, "evidence", what);
  s.ns = fields::numbers(o, "ns", what);
  s.errors = fields::list(o, "errors", what, error_from_json);
  s.launch_ns = fields::list(o, "launch_ns", what, [&](const json::value& item) {
    std::vector<double> launch;
    for (const json::value& figure : json::as_array(item, what)) launch.push_back(fields::number(figure, what));
    return launch;
  });
  return s;
}

template <class Items>
json::array list_json(const Items& items) {
  json::array out;
  for (const auto& item : items) out.emplace_back(to_json(item));
  return out;
}

json::object to_json(const GpuFacts& g) {
  return {{"name", g.name},
          {"architecture", g.architecture},
          {"multiprocessors", g.multiprocessors},
          {"threads_per_multiprocessor", g.threads_per_multiprocessor},
          {"registers_per_multiprocessor", g.registers_per_multiprocessor},
          {"shared_per_multiprocessor_bytes", g.shared_per_multiprocessor_bytes},
          {"shared_per_block_bytes", g.shared_per_block_bytes},
          {"l2_bytes", g.l2_bytes},
          {"memory_bytes", g.memory_bytes},
          {"cluster_launch", g.cluster_launch},
          {"driver", g.driver}};
}

GpuFacts gpu_from_json(const json::value& v) {
  constexpr std::string_view what = "GPU of the node facts";
  const json::object& o = json::as_object(v, what);
  GpuFacts g;
  g.name = json::get_string(o, "name", what);
  g.architecture = json::get_string(o, "architecture", what);
  g.multiprocessors = fields::small_count(o, "multiprocessors", what);
  g.threads_per_multiprocessor = fields::small_count(o, "threads_per_multiprocessor", what);
  g.registers_per_multiprocessor = fields::small_count(o, "registers_per_multiprocessor", what);
  g.shared_per_multiprocessor_bytes = fields::count(o, "shared_per_multiprocessor_bytes", what);
  g.shared_per_block_bytes = fields::count(o, "shared_per_block_bytes", what);
  g.l2_bytes = fields::count(o, "l2_bytes", what);
  g.memory_bytes = fields::count(o, "memory_bytes", what);
  g.cluster_launch = json::get_bool(o, "cluster_launch", what);
  g.driver = json::get_string(o, "driver", what);
  return g;
}

}  // namespace

json::object to_json(const NodeFacts& f) {
  json::object out{{"cpu_model", f.cpu_model},
          {"features", json::to_array(f.features)},
          {"cores", f.cores},
          {"numa_nodes", f.numa_nodes},
          {"l1d_bytes", f.l1d_bytes},
          {"l2_bytes", f.l2_bytes},
          {"l3_bytes", f.l3_bytes},
          {"memory_bytes", f.memory_bytes},
          {"compiler", f.compiler},
          {"os_kernel", f.os_kernel},
          {"bandwidth", figures_json(f.bandwidth)},
          {"flops", figures_json(f.flops)},
          {"launch_ns", fields::number(f.launch_ns)},
          {"false_difference_rate", fields::number(f.false_difference_rate)},
          {"sandbox", json::to_array(f.sandbox)}};
  if (f.gpu) out["gpu"] = to_json(*f.gpu);
  return out;
}

NodeFacts node_facts_from_json(const json::value& v) {
  constexpr std::string_view what = "node facts";
  const json::object& o = json::as_object(v, what);
  NodeFacts f;
  f.cpu_model = json::get_string(o, "cpu_model", what);
  f.features = json::get_strings(o, "features", what);
  f.cores = fields::small_count(o, "cores", what);
  f.numa_nodes = fields::small_count(o, "numa_nodes", what);
  f.l1d_bytes = fields::count(o, "l1d_bytes", what);
  f.l2_bytes = fields::count(o, "l2_bytes", what);
  f.l3_bytes = fields::count(o, "l3_bytes", what);
  f.memory_bytes = fields::count(o, "memory_bytes", what);
  f.compiler = json::get_string(o, "compiler", what);
  f.os_kernel = json::get_string(o, "os_kernel", what);
  f.bandwidth = figures_from_json(o, "bandwidth", what);
  f.flops = figures_from_json(o, "flops", what);
  f.launch_ns = fields::number(o, "launch_ns", what);
  f.false_difference_rate = fields::number(o, "false_difference_rate", what);
  f.sandbox = json::get_strings(o, "sandbox", what);
  if (const json::value* gpu = o.if_contains("gpu")) f.gpu = gpu_from_json(*gpu);
  return f;
}

json::object to_json(const KernelResources& r) {
  return {{"symbol", r.symbol},
          {"registers", r.registers},
          {"stack_bytes", r.stack_bytes},
          {"spill_bytes", r.spill_bytes},
          {"shared_bytes", r.shared_bytes}};
}

KernelResources kernel_resources_from_json(const json::value& v) {
  constexpr std::string_view what = "kernel of a build fact";
  const json::object& o = json::as_object(v, what);
  return {json::get_string(o, "symbol", what), fields::small_count(o, "registers", what),
          fields::count(o, "stack_bytes", what), fields::count(o, "spill_bytes", what),
          fields::count(o, "shared_bytes", what)};
}

json::object to_json(const BuildFact& f) {
  json::object out{{"verdict", name(f.verdict)},
          {"object", f.object},
          {"object_bytes", f.object_bytes},
          {"build_ns", f.build_ns},
          {"diagnostics", list_json(f.diagnostics)}};
  if (!f.kernels.empty()) out["kernels"] = list_json(f.kernels);
  return out;
}

BuildFact build_fact_from_json(const json::value& v) {
  constexpr std::string_view what = "build fact";
  const json::object& o = json::as_object(v, what);
  BuildFact f;
  f.verdict = verdict_from_name(json::get_string(o, "verdict", what));
  f.object = json::get_string(o, "object", what);
  f.object_bytes = fields::count(o, "object_bytes", what);
  f.build_ns = fields::count(o, "build_ns", what, INT64_MAX);
  f.diagnostics = fields::list(o, "diagnostics", what, diagnostic_from_json);
  if (o.if_contains("kernels")) f.kernels = fields::list(o, "kernels", what, kernel_resources_from_json);
  return f;
}

json::object to_json(const CheckFact& f) {
  return {{"verdict", name(f.verdict)},
          {"evidence", f.evidence},
          {"errors", list_json(f.errors)},
          {"input_sensitive", f.input_sensitive}};
}

CheckFact check_fact_from_json(const json::value& v) {
  constexpr std::string_view what = "check fact";
  const json::object& o = json::as_object(v, what);
  CheckFact f;
  f.verdict = verdict_from_name(json::get_string(o, "verdict", what));
  f.evidence = json::get_string(o, "evidence", what);
  f.errors = fields::list(o, "errors", what, error_from_json);
  f.input_sensitive = json::get_bool(o, "input_sensitive", what);
  return f;
}

json::object to_json(const SampleFact& f) {
  return {{"subjects", list_json(f.subjects)},
          {"cycles_per_ns", fields::numbers(f.cycles_per_ns)},
          {"fresh_process", f.fresh_process},
          {"wall_ns", f.wall_ns}};
}

SampleFact sample_fact_from_json(const json::value& v) {
  constexpr std::string_view what = "sample fact";
  const json::object& o = json::as_object(v, what);
  SampleFact f;
  f.subjects = fields::list(o, "subjects", what, subject_from_json);
  f.cycles_per_ns = fields::numbers(o, "cycles_per_ns", what);
  f.fresh_process = json::get_bool(o, "fresh_process", what);
  f.wall_ns = fields::count(o, "wall_ns", what, INT64_MAX);
  return f;
}

}  // namespace kiln::agents
