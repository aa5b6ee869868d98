#include "agents/artifacts/facts.h"

#include "agents/artifacts/members.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace fields {

template <>
struct Members<GpuFacts> {
  static constexpr std::string_view what = "GPU of the node facts";
  static void visit(auto& io, auto& f) {
    io("name", f.name);
    io("architecture", f.architecture);
    io("multiprocessors", f.multiprocessors);
    io("threads_per_multiprocessor", f.threads_per_multiprocessor);
    io("registers_per_multiprocessor", f.registers_per_multiprocessor);
    io("shared_per_multiprocessor_bytes", f.shared_per_multiprocessor_bytes);
    io("shared_per_block_bytes", f.shared_per_block_bytes);
    io("l2_bytes", f.l2_bytes);
    io("memory_bytes", f.memory_bytes);
    io("cluster_launch", f.cluster_launch);
    io("driver", f.driver);
  }
};

template <>
struct Members<NodeFacts> {
  static constexpr std::string_view what = "node facts";
  static void visit(auto& io, auto& f) {
    io("cpu_model", f.cpu_model);
    io("features", f.features);
    io("cores", f.cores);
    io("numa_nodes", f.numa_nodes);
    io("l1d_bytes", f.l1d_bytes);
    io("l2_bytes", f.l2_bytes);
    io("l3_bytes", f.l3_bytes);
    io("memory_bytes", f.memory_bytes);
    io("compiler", f.compiler);
    io("os_kernel", f.os_kernel);
    io("bandwidth", f.bandwidth);
    io("flops", f.flops);
    io("launch_ns", f.launch_ns);
    io("false_difference_rate", f.false_difference_rate);
    io("sandbox", f.sandbox);
    io.unless_absent("gpu", f.gpu);
    io.unless_empty("energy_counter", f.energy_counter);
    io.unless_empty("no_energy_counter", f.no_energy_counter);
  }
};

template <>
struct Members<Diagnostic> {
  static constexpr std::string_view what = "diagnostic of a build fact";
  static void visit(auto& io, auto& f) {
    io("file", f.file);
    io("line", f.line);
    io("severity", f.severity);
    io("message", f.message);
  }
};

template <>
struct Members<KernelResources> {
  static constexpr std::string_view what = "kernel of a build fact";
  static void visit(auto& io, auto& f) {
    io("symbol", f.symbol);
    io("registers", f.registers);
    io("stack_bytes", f.stack_bytes);
    io("spill_bytes", f.spill_bytes);
    io("shared_bytes", f.shared_bytes);
  }
};

template <>
struct Members<BuildFact> {
  static constexpr std::string_view what = "build fact";
  static void visit(auto& io, auto& f) {
    io("verdict", f.verdict);
    io("object", f.object);
    io("object_bytes", f.object_bytes);
    io("build_ns", f.build_ns, INT64_MAX);
    io("diagnostics", f.diagnostics);
    io.unless_empty("kernels", f.kernels);
    io.unless_empty("recipe", f.recipe);
    io.unless_empty("origin", f.origin);
  }
};

template <>
struct Members<ErrorFact> {
  static constexpr std::string_view what = "error of a check fact";
  static void visit(auto& io, auto& f) {
    io("family", f.family);
    io("output", f.output);
    io("normwise", f.normwise);
    io("normwise_plain", f.normwise_plain);
    io("max_scaled", f.max_scaled);
    io("max_scaled_plain", f.max_scaled_plain);
    io("mismatched_nonfinite", f.mismatched_nonfinite);
    io("worst_index", f.worst_index);
    io("worst_value", f.worst_value);
    io("worst_expected", f.worst_expected);
  }
};

template <>
struct Members<CheckFact> {
  static constexpr std::string_view what = "check fact";
  static void visit(auto& io, auto& f) {
    io("verdict", f.verdict);
    io("evidence", f.evidence);
    io("errors", f.errors);
    io("input_sensitive", f.input_sensitive);
    io.unless_empty("undoubled", f.undoubled);
  }
};

template <>
struct Members<SampleFact::Subject> {
  static constexpr std::string_view what = "subject of a sample fact";
  static void visit(auto& io, auto& f) {
    io("name", f.name);
    io("verdict", f.verdict);
    io("evidence", f.evidence);
    io("ns", f.ns);
    io("errors", f.errors);
    io("launch_ns", f.launch_ns);
    io.unless_empty("nj", f.nj);
  }
};

template <>
struct Members<SampleFact> {
  static constexpr std::string_view what = "sample fact";
  static void visit(auto& io, auto& f) {
    io("subjects", f.subjects);
    io("cycles_per_ns", f.cycles_per_ns);
    io("fresh_process", f.fresh_process);
    io("wall_ns", f.wall_ns, INT64_MAX);
  }
};

}  // namespace fields

json::object to_json(const NodeFacts& f) { return fields::write(f); }
NodeFacts node_facts_from_json(const json::value& v) { return fields::read<NodeFacts>(v); }

json::object to_json(const KernelResources& r) { return fields::write(r); }
KernelResources kernel_resources_from_json(const json::value& v) { return fields::read<KernelResources>(v); }

json::object to_json(const BuildFact& f) { return fields::write(f); }
BuildFact build_fact_from_json(const json::value& v) { return fields::read<BuildFact>(v); }

json::object to_json(const CheckFact& f) { return fields::write(f); }
CheckFact check_fact_from_json(const json::value& v) { return fields::read<CheckFact>(v); }

json::object to_json(const SampleFact& f) { return fields::write(f); }
SampleFact sample_fact_from_json(const json::value& v) { return fields::read<SampleFact>(v); }

}  // namespace kiln::agents
