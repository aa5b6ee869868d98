// Facts: what was measured or read from outside, once. Everything that an agent decides is derivable from these.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agents/artifacts/verdict.h"
#include "runtime/base/json_fwd.h"

namespace kiln::agents {

// One GPU of the node, as far as a kernel's geometry depends on it.
struct GpuFacts {
  std::string name;          // "NVIDIA H200"
  std::string architecture;  // "sm_90a"
  std::int32_t multiprocessors = 1;
  std::int32_t threads_per_multiprocessor = 2048;
  std::int32_t registers_per_multiprocessor = 65536;
  std::int64_t shared_per_multiprocessor_bytes = 0;
  std::int64_t shared_per_block_bytes = 48 << 10;
  std::int64_t l2_bytes = 0;
  std::int64_t memory_bytes = 0;
  bool cluster_launch = false;
  std::string driver;  // "13.0 (580.159.04)"
};

// What the node says of itself, and what was measured on it (ceilings). On a job for a GPU the bandwidths, FLOP/s and
// the launch time are the GPU's.
struct NodeFacts {
  std::string cpu_model;
  std::vector<std::string> features;  // "avx2", "fma", "avx512f", "avx512vl", ...
  std::int32_t cores = 1;             // usable by this process: affinity and cgroup quota respected
  std::int32_t numa_nodes = 1;
  std::int64_t l1d_bytes = 0, l2_bytes = 0, l3_bytes = 0;  // per core, per core, shared
  std::int64_t memory_bytes = 0;
  std::string compiler;  // "c++ (Debian 12.2.0-14) 12.2.0"
  std::string os_kernel;
  std::map<std::string, double>
      bandwidth;  // bytes/s: "l1_read", "l2_read", "l3_read", "memory_read", "memory_copy", all cores
  std::map<std::string, double> flops;      // FLOP/s: "f32", "f64", "f32_by_tiles", all cores
  double launch_ns = 0;                     // one empty launch of a plan, all threads
  double false_difference_rate = 0;         // A/A self-test of the instrument, 0..1
  std::optional<GpuFacts> gpu;              // that the job is for
  std::string energy_counter{};             // "RAPL: package-0, dram", "NVML"; empty: there is none that can be read,
  std::string no_energy_counter{};          // and why
  std::vector<std::string> sandbox;  // mechanisms active in workers: "seccomp", "landlock:7", "no_new_privs", ...
};
[[nodiscard]] json::object to_json(const NodeFacts& f);
[[nodiscard]] NodeFacts node_facts_from_json(const json::value& v);

struct Diagnostic { std::string file; std::int32_t line = 0; std::string severity; std::string message; };

// What one kernel of a GPU's code object takes, as its assembler reports it.
struct KernelResources {
  std::string symbol;
  std::int32_t registers = 0;    // per thread
  std::int64_t stack_bytes = 0;  // local memory per thread
  std::int64_t spill_bytes = 0;  // stores and loads of spilled registers, per thread
  std::int64_t shared_bytes = 0; // static, per block
};
[[nodiscard]] json::object to_json(const KernelResources& r);
[[nodiscard]] KernelResources kernel_resources_from_json(const json::value& v);

struct BuildFact {
  Verdict verdict = Verdict::ok;  // ok, build_failed, build_timeout, forbidden
  std::string object;             // SHA-256 of the code object
  std::int64_t object_bytes = 0;
  std::int64_t build_ns = 0;
  std::vector<Diagnostic> diagnostics;
  std::vector<KernelResources> kernels{};  // of a GPU's code object
  std::string recipe{};  // SHA-256 of all that decides what the compiler makes; empty where no cache was asked
  std::string origin{};  // "cache": built before, for another job or on another machine; empty: built now
};
[[nodiscard]] json::object to_json(const BuildFact& f);
[[nodiscard]] BuildFact build_fact_from_json(const json::value& v);

// Errors of one output over one input family, against the FP64 oracle. Norm-wise relative: |x - ref|_2 / |ref|_2; max
// is over elements, absolute, and scaled by the RMS of ref.
struct ErrorFact {
  std::string family;  // "normal", "uniform", "shifted", "heavy_tail", "integers", "zeros", "denormals", "amplified"
  std::int32_t output = 0;
  double normwise = 0, normwise_plain = 0;  // candidate; plain evaluation in the model's own types
  double max_scaled = 0, max_scaled_plain = 0;
  std::int64_t mismatched_nonfinite = 0;  // elements where one is Inf/NaN and the other is not the same
  std::int64_t worst_index = 0;
  double worst_value = 0, worst_expected = 0;
};

struct CheckFact {
  Verdict verdict = Verdict::ok;  // what happened before any comparison: ok, launch_failed, crashed, hung,
                                  // out_of_bounds, nondeterministic, forbidden
  std::string evidence;           // "signal 11 in family 'normal'", "guard after output 0 overwritten at byte 12"
  std::vector<ErrorFact> errors;
  bool input_sensitive = true;    // outputs changed when inputs did, as the oracle's did
  // An element that did not double with inputs in which the operator is linear; empty: all did, or it is in none.
  std::string undoubled{};
};
[[nodiscard]] json::object to_json(const CheckFact& f);
[[nodiscard]] CheckFact check_fact_from_json(const json::value& v);

// Raw samples of several subjects, taken interleaved in one process. Times are whole-plan wall times: of one call, or
// per result or call of those that follow each other (Objective).
struct SampleFact {
  struct Subject {
    std::string name;
    Verdict verdict = Verdict::ok;  // ok, launch_failed, crashed, hung, out_of_bounds, wrong, forbidden
    std::string evidence;
    std::vector<double> ns;                          // per sample, in order
    std::vector<ErrorFact> errors;  // of the outputs of one timed call; empty when no proof was asked for
    std::vector<std::vector<double>> launch_ns;      // per launch, medians only when asked for; may be empty
    std::vector<double> nj{};                        // per sample, where energy is what is minimized
    // What the samples' objective minimizes.
    [[nodiscard]] const std::vector<double>& cost() const { return nj.empty() ? ns : nj; }
  };
  std::vector<Subject> subjects;
  std::vector<double> cycles_per_ns;  // per round: the clock, from a calibrated spin
  bool fresh_process = false;
  std::int64_t wall_ns = 0;
};
[[nodiscard]] json::object to_json(const SampleFact& f);
[[nodiscard]] SampleFact sample_fact_from_json(const json::value& v);

}  // namespace kiln::agents
