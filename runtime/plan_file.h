// manifest.json and plan.json as libkiln reads them. The bytes are untrusted: after parse_plan every index is in range,
// every window lies inside its arena, every size is bounded, and no launch of `prepare` names a caller's buffer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/kiln.h"

namespace kiln::runtime {

enum class Target : std::uint8_t { cpu, cuda };

enum class BufferKind : std::uint8_t { input, output, constant, prepared, temporary };

struct Buffer {
  BufferKind kind = BufferKind::temporary;
  std::int64_t bytes = 0;
  std::int64_t offset = 0;  // within its arena, a multiple of 64; 0 for input and output
  std::int32_t index = 0;   // input and output: position among the plan's
};

struct Tensor {
  std::string name;
  kiln_dtype dtype = KILN_F32;
  std::vector<std::int64_t> shape;
  std::int64_t bytes = 0;
  std::int32_t buffer = 0;
};

// Geometry of a launch on a GPU; block_threads is 0 for a CPU.
struct Grid {
  std::int32_t block_threads = 0;
  std::int32_t shared_bytes = 0;  // dynamic, per block
  std::int32_t cluster = 1;       // blocks of a cluster
  bool cooperative = false;       // all blocks run at the same time
  bool programmatic = false;      // the kernel itself waits for the launch before it
};

struct Launch {
  std::int32_t object = 0;
  std::string symbol;
  std::vector<std::int32_t> args;
  std::int64_t tasks = 1;
  std::int64_t scratch_bytes = 0;   // per thread
  std::int64_t scratch_offset = -1; // of thread 0's among the temporaries, each thread's 64-byte aligned; -1: ours
  bool has_state = false;
  std::string label;
  Grid grid;  // on a GPU, whose thread blocks are `tasks`
};

struct Plan {
  std::string name;
  Target target = Target::cpu;
  std::int32_t compute_major = 0, compute_minor = 0;  // what a GPU's code objects are for
  bool exact_architecture = false;                    // they run on that capability alone ("sm_90a")
  std::vector<std::string> cpu_features;
  std::int32_t threads = 1;
  std::vector<Tensor> inputs, outputs;
  std::vector<Buffer> buffers;
  std::vector<std::string> objects;  // 64 hex digits each
  std::string constants;             // 64 hex digits, or empty
  std::int64_t constants_bytes = 0, prepared_bytes = 0, temporary_bytes = 0;
  std::vector<Launch> prepare, run;
};

struct FileEntry {
  std::string path;  // relative, no empty, "." or ".." part
  std::int64_t bytes = 0;
  std::string sha256;
};

struct Manifest {
  std::string plan;
  std::vector<FileEntry> files;
  [[nodiscard]] const FileEntry* find(std::string_view path) const;
};

// "f32", as plan.json has it; "unknown type" for what is none.
[[nodiscard]] std::string type_name(kiln_dtype type);

// Both throw Failure(KILN_E_FORMAT), or KILN_E_TARGET for a target that this libkiln does not know.
[[nodiscard]] Manifest parse_manifest(std::string_view text);
[[nodiscard]] Plan parse_plan(std::string_view text);

}  // namespace kiln::runtime
