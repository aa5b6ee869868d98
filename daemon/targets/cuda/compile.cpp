#include "daemon/targets/cuda/compile.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "daemon/targets/cuda/nvrtc_api.h"
#include "runtime/base/error.h"

namespace kiln::targets::cuda {
namespace {

// The loader's own search, then where NVIDIA's packages put the toolkit. Newest first: it knows the most
// architectures.
void* open_library() {
  for (const char* folder : {"", "/usr/local/cuda/lib64/"})
    for (const char* name : {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"})
      if (void* library = ::dlopen((std::string(folder) + name).c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  return nullptr;
}

template <class Function>
void find(void* library, const char* symbol, Function& out) {
  void* address = ::dlsym(library, symbol);
  if (!address)
    throw Error(ErrorCode::unavailable, "cannot compile for CUDA: libnvrtc has no " + std::string(symbol),
                "install CUDA 12 or newer (libnvrtc)");
  out = reinterpret_cast<Function>(address);
}

// Ends with its scope, whatever happens in it.
class Program {
 public:
  Program(const NvrtcApi& api, const CompileRequest& request) : api_(api) {
    const int made =
        api_.nvrtcCreateProgram(&program_, request.source.c_str(), request.file_name.c_str(), 0, nullptr, nullptr);
    if (made != kNvrtcSuccess)
      throw Error(ErrorCode::internal, std::string("cannot start NVRTC: ") + api_.nvrtcGetErrorString(made));
  }
  ~Program() {
    (void)api_.nvrtcDestroyProgram(&program_);
  }  // ignoring: nothing can be done about it, and nothing is lost
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  int compile(const std::vector<std::string>& flags) {
    std::vector<const char*> texts;
    for (const std::string& flag : flags) texts.push_back(flag.c_str());
    return api_.nvrtcCompileProgram(program_, static_cast<int>(texts.size()), texts.data());
  }
  [[nodiscard]] std::string log() const { return text(api_.nvrtcGetProgramLogSize, api_.nvrtcGetProgramLog); }
  [[nodiscard]] std::string cubin() const { return text(api_.nvrtcGetCUBINSize, api_.nvrtcGetCUBIN); }

 private:
  [[nodiscard]] std::string text(int (*size_of)(NvrtcProgram, std::size_t*), int (*get)(NvrtcProgram, char*)) const {
    std::size_t size = 0;
    if (size_of(program_, &size) != kNvrtcSuccess) return {};
    std::string out(size, '\0');
    if (get(program_, out.data()) != kNvrtcSuccess) return {};
    return out;
  }

  const NvrtcApi& api_;
  NvrtcProgram program_ = nullptr;
};

// Registers that each thread of the largest block can have: 65,536 for 1,024 threads (CUDA C++ Programming Guide,
// technical specifications). A kernel that spills with fewer was not short of them: it keeps some across a call.
constexpr std::int32_t kLeastRegisters = 64;

void apply_spill_gate(CompileResult& result, const CompileRequest& request) {
  if (request.allow_spills) return;
  for (const KernelResources& kernel : result.kernels) {
    const std::int64_t bytes = kernel.spill_store_bytes + kernel.spill_load_bytes;
    if (bytes == 0 || kernel.registers < kLeastRegisters) continue;
    result.ok = false;
    result.diagnostics.push_back({request.file_name, 0, "error",
                                  kernel.symbol + " spills " + std::to_string(bytes) +
                                      " bytes of registers per thread at " + std::to_string(kernel.registers) +
                                      " registers"});
  }
}

}  // namespace

Compiler::Compiler() : api_(std::make_unique<NvrtcApi>()) {
  void* library = open_library();
  if (!library)
    throw Error(ErrorCode::unavailable, "cannot compile for CUDA: libnvrtc.so.13 and libnvrtc.so.12 are not found",
                "install CUDA's run-time compiler (libnvrtc and libnvrtc-builtins)");
#define KILN_FIND(symbol, parameters) find(library, #symbol, api_->symbol);
  KILN_NVRTC_FUNCTIONS(KILN_FIND)
#undef KILN_FIND
  find(library, "nvrtcGetErrorString", api_->nvrtcGetErrorString);
}

Compiler::~Compiler() = default;

std::vector<std::string> base_flags() {
  // Not -dc, which would leave symbols open. 177: a function of the prelude that a kernel does not call.
  return {"--std=c++17", "--device-as-default-execution-space", "--restrict", "--ptxas-options=-v",
          "--extra-device-vectorization", "--diag-suppress=177"};
}

std::string architecture_of(int major, int minor) {
  return "sm_" + std::to_string(major * 10 + minor) + (major == 9 && minor == 0 ? "a" : "");
}

CompileResult Compiler::compile(const CompileRequest& request) const {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::string> flags = base_flags();
  flags.push_back("--gpu-architecture=" + request.architecture);
  flags.insert(flags.end(), request.flags.begin(), request.flags.end());
  Program program(*api_, request);
  const int compiled = program.compile(flags);
  const std::string log = program.log();
  if (compiled == kNvrtcInvalidOption)
    throw Error(ErrorCode::invalid_input,
                "cannot compile for '" + request.architecture + "': NVRTC refuses its options: " + log);
  CompileResult result;
  result.diagnostics = parse_diagnostics(log);
  if (compiled == kNvrtcSuccess) {
    result.object = program.cubin();
    result.kernels = parse_resources(log);
    result.ok = !result.object.empty();
    apply_spill_gate(result, request);
  } else if (compiled != kNvrtcCompilation) {
    result.diagnostics.push_back({request.file_name, 0, "error", api_->nvrtcGetErrorString(compiled)});
  }
  if (!result.ok) {
    result.object.clear();
    std::stable_partition(result.diagnostics.begin(), result.diagnostics.end(),
                          [](const CompileDiagnostic& d) { return d.severity == "error"; });
    if (result.diagnostics.empty())
      result.diagnostics.push_back({request.file_name, 0, "error", log.substr(0, 2000)});
  }
  result.build_ns = std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count();
  return result;
}

std::string Compiler::version() const {
  int major = 0, minor = 0;
  if (api_->nvrtcVersion(&major, &minor) != kNvrtcSuccess) return "NVRTC";
  return "NVRTC " + std::to_string(major) + "." + std::to_string(minor);
}

std::string Compiler::library() const {
  Dl_info where{};
  if (::dladdr(reinterpret_cast<const void*>(api_->nvrtcVersion), &where) == 0 || !where.dli_fname) return {};
  std::error_code unknown;  // ignoring: the version is there without it
  const std::uintmax_t bytes = std::filesystem::file_size(where.dli_fname, unknown);
  return unknown ? std::string() : std::to_string(bytes) + " bytes";
}

std::vector<int> Compiler::architectures() const {
  int count = 0;
  if (api_->nvrtcGetNumSupportedArchs(&count) != kNvrtcSuccess || count < 0) return {};
  std::vector<int> out(static_cast<std::size_t>(count));
  if (api_->nvrtcGetSupportedArchs(out.data()) != kNvrtcSuccess) return {};
  return out;
}

}  // namespace kiln::targets::cuda
