// Source text to a code object with the system's C++ compiler, in a scratch folder. Runs inside a build worker.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::targets::cpu {

struct CompileRequest {
  std::string file_name;  // plain: "kernel.cpp"
  std::string source;
  std::vector<std::string> flags;      // beyond base_flags()
  std::vector<std::string> libraries;  // "dnnl"
  std::filesystem::path include_dir;  // holds runtime/kernel_abi.h
  std::filesystem::path scratch;       // an existing folder that this build has to itself
  std::int64_t timeout_ns = 30'000'000'000;  // of each process's processor time (daemon/targets/processor_time.h)
};

struct CompileDiagnostic {
  std::string file;
  std::int32_t line = 0;
  std::string severity;  // "error", "warning", "note"
  std::string message;
};

struct CompileResult {
  bool ok = false;
  bool timeout = false;  // the compiler was stopped at its limit
  std::string forbidden; // why the object must not be loaded (audit.h); empty otherwise
  std::string object;    // bytes of the shared object, when ok
  std::int64_t build_ns = 0;
  std::vector<CompileDiagnostic> diagnostics;
};

// -std=c++20 -O3 -fPIC -shared and what makes equal sources give equal bytes on every node.
[[nodiscard]] std::vector<std::string> base_flags();

// Throws Error(invalid_input) for a flag or a name that reaches outside the scratch folder, Error(io) when the compiler
// cannot be started.
[[nodiscard]] CompileResult compile(const CompileRequest& request);

// First line of `c++ --version`, or "none" when there is no compiler.
[[nodiscard]] std::string compiler_version();

// The library that "-lNAME" links: its name, the name of its file, which holds its version, and its bytes. Throws
// Error(invalid_input) for a name that is not plain.
[[nodiscard]] std::string library_version(const std::string& name);

// GCC's JSON diagnostics, and "file:line:column: severity: message" lines of Clang and the linker, at most 64.
[[nodiscard]] std::vector<CompileDiagnostic> parse_diagnostics(std::string_view text);

}  // namespace kiln::targets::cpu
