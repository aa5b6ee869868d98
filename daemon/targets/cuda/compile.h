// Source text to a cubin with NVRTC, found at run time. Needs no GPU and no header: a kernel's source is complete.
// Runs inside a build worker.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::targets::cuda {

struct NvrtcApi;

// What ptxas says of one kernel (`--ptxas-options=-v`).
struct KernelResources {
  std::string symbol;
  std::int32_t registers = 0;          // per thread
  std::int64_t stack_bytes = 0;        // local memory of one thread, spills among it
  std::int64_t spill_store_bytes = 0;  // per thread
  std::int64_t spill_load_bytes = 0;
  std::int64_t static_shared_bytes = 0;  // per block
};

struct CompileDiagnostic {
  std::string file;
  std::int32_t line = 0;
  std::string severity;  // "error", "warning"
  std::string message;
};

struct CompileRequest {
  std::string file_name;  // for diagnostics: "kernel.cu"
  std::string source;
  std::string architecture;        // "sm_90a"
  std::vector<std::string> flags;  // beyond base_flags()
  bool allow_spills = false;       // else a kernel that spills registers is a failed build
};

struct CompileResult {
  bool ok = false;
  std::string object;  // the cubin, when ok
  std::int64_t build_ns = 0;
  std::vector<KernelResources> kernels;
  std::vector<CompileDiagnostic> diagnostics;
};

class Compiler {
 public:
  // Loads libnvrtc. Throws Error(unavailable) with what was looked for.
  Compiler();
  ~Compiler();
  Compiler(const Compiler&) = delete;
  Compiler& operator=(const Compiler&) = delete;

  // A source that does not compile, or spills against the request, is a result with diagnostics. Throws
  // Error(invalid_input) for an architecture or flag that NVRTC does not know. Has no time limit: the parent's is the
  // one.
  [[nodiscard]] CompileResult compile(const CompileRequest& request) const;
  [[nodiscard]] std::string version() const;             // "NVRTC 13.0"
  // The size of its file, which tells releases of one version apart: "91234567 bytes". Packages name the file
  // differently. Empty when the loader does not say.
  [[nodiscard]] std::string library() const;
  [[nodiscard]] std::vector<int> architectures() const;  // that it makes code for: 80, 86, 90, ...

 private:
  std::unique_ptr<NvrtcApi> api_;
};

// What every kernel is compiled with, whatever the architecture.
[[nodiscard]] std::vector<std::string> base_flags();

// "sm_90a" for compute capability 9.0, whose tensor instructions only the a-variant has; "sm_80" for 8.0.
[[nodiscard]] std::string architecture_of(int major, int minor);

// "kernel.cu(12): error: ..." lines, and the lines of ptxas; at most 64 diagnostics.
[[nodiscard]] std::vector<CompileDiagnostic> parse_diagnostics(std::string_view log);
[[nodiscard]] std::vector<KernelResources> parse_resources(std::string_view log);

}  // namespace kiln::targets::cuda
