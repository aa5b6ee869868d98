// What the writer makes of a variant: source that an engineer would accept in review, and how to build and launch it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agents/artifacts/geometry.h"
#include "agents/artifacts/variant.h"
#include "runtime/base/json_fwd.h"

namespace kiln::agents {

struct RenderedArg {
  enum class Kind : std::uint8_t { input, output, prepared, temporary };
  Kind kind = Kind::input;
  std::int32_t index = 0;  // body input, body output, RenderedKernel::prepared_bytes or ::temporary_bytes
};

struct RenderedLaunch {
  std::string symbol;
  std::vector<RenderedArg> args;
  std::int64_t tasks = 1;
  std::int64_t scratch_bytes = 0;
  std::int64_t library_bytes = 0;  // per thread, as a plan's
  bool has_state = false;
  std::optional<Geometry> geometry{};  // of a launch on a GPU, whose blocks are `tasks`
};

struct RenderedKernel {
  Variant variant;
  std::string file_name;  // "kernel.cpp", "kernel.cu"
  std::string source;     // complete translation unit but for the runtime/kernel_abi.h it includes
  std::vector<std::string> compile_flags;  // beyond the policy's: "-O3", "-march=..."
  std::vector<std::string> libraries;      // "dnnl"
  std::vector<std::int64_t> prepared_bytes;
  std::vector<std::int64_t> temporary_bytes;
  std::vector<RenderedLaunch> prepare;
  std::vector<RenderedLaunch> run;
  std::vector<std::string> cpu_features;
  std::string architecture;  // of the GPU that it is for: "sm_90a"; empty for a CPU
};

[[nodiscard]] json::object to_json(const RenderedKernel& kernel);
[[nodiscard]] RenderedKernel rendered_from_json(const json::value& v);

}  // namespace kiln::agents
