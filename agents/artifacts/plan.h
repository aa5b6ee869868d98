// A plan: buffers and the sequence of launches that runs a whole workload, or one region of it. The same JSON is what
// libkiln loads (docs/release-format.md), so what is measured is what ships.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agents/artifacts/geometry.h"
#include "agents/graph/types.h"
#include "runtime/base/json_fwd.h"

namespace kiln::agents {

struct PlanBuffer {
  enum class Kind : std::uint8_t {
    input,      // the caller's, read-only
    output,     // the caller's
    constant,   // window of constants.bin at `offset`
    prepared,   // in the prepare arena at `offset`: written once by the prepare launches
    temporary,  // in the session's arena at `offset`; windows may overlap when lifetimes do not
  };
  Kind kind = Kind::temporary;
  std::int64_t bytes = 0;
  std::int64_t offset = 0;
  std::int32_t index = 0;  // input or output: position in the plan's inputs or outputs
};

struct PlanLaunch {
  std::int32_t object = 0;     // index into Plan::objects
  std::string symbol;
  std::vector<std::int32_t> args;  // buffer ids, in the order that the kernel expects
  std::int64_t tasks = 1;          // independent tasks, spread over the threads; on a GPU, thread blocks
  std::int64_t scratch_bytes = 0;  // per thread
  std::int64_t library_bytes = 0;  // per thread, what a vendor's library allocates and frees in the launch by itself
  bool has_state = false;          // the object exports <symbol>_create and <symbol>_destroy
  std::int32_t instance = -1;      // index of the RegionInstance, -1 for none
  std::string label;
  std::optional<Geometry> geometry{};  // of a launch on a GPU
  // Of the first thread's scratch in the temporaries' arena, the others' behind it, each from the next multiple of 64
  // bytes on; none: whoever runs the launch has memory for it.
  std::optional<std::int64_t> scratch_offset{};
};

struct PlanTensor {
  std::string name;
  graph::TensorType type;
  std::int32_t buffer = 0;
};

struct Plan {
  std::string name;
  std::string target = "cpu";             // "cpu", "cuda"
  std::string architecture;               // of the GPU that the code objects are for: "sm_90a"; empty for a CPU
  std::vector<std::string> cpu_features;  // what the code objects need: "avx2", "fma", "avx512f", ...
  std::int32_t threads = 1;
  std::vector<PlanTensor> inputs, outputs;
  std::vector<PlanBuffer> buffers;
  std::vector<std::string> objects;  // SHA-256 of each code object, stored as objects/<digest>.so or .cubin
  std::string constants;             // SHA-256 of constants.bin; empty when there are none
  std::int64_t constants_bytes = 0;
  std::int64_t prepared_bytes = 0;
  std::int64_t temporary_bytes = 0;
  std::vector<PlanLaunch> prepare;  // once per loaded release
  std::vector<PlanLaunch> run;      // per call
};

// Where a release keeps a code object: "objects/<digest>.so", or ".cubin" for a GPU.
[[nodiscard]] std::string object_path(const std::string& target, const std::string& digest);

[[nodiscard]] json::object to_json(const Plan& plan);
[[nodiscard]] Plan plan_from_json(const json::value& v);

}  // namespace kiln::agents
