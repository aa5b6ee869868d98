// build-cuda: request {file_name, flags, architecture, allow_spills, timeout_ns} and the source as a file; reply
// {outcome, diagnostics, kernels, build_ns} and the cubin as a sealed file; beyond its time SIGXCPU ends the process.
// Request {op: "toolchain"}; reply {toolchain}, as build's. Touches no device.
#include "agents/artifacts/facts.h"
#include "daemon/targets/cuda/compile.h"
#include "daemon/targets/processor_time.h"
#include "daemon/worker/inside/gpu_role.h"
#include "daemon/worker/inside/role.h"
#include "daemon/worker/memory.h"
#include "runtime/base/json.h"

#include <unistd.h>

#include <cerrno>

namespace kiln::worker {
namespace {

using targets::cuda::Compiler;
using targets::cuda::CompileRequest;
using targets::cuda::CompileResult;

// An option that NVRTC refuses is the template's mistake, hence a failed build and no failure of the bench.
CompileResult build(const targets::cuda::Compiler& compiler, const CompileRequest& request) {
  try {
    return compiler.compile(request);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_input) throw;
    CompileResult refused;
    refused.diagnostics.push_back({request.file_name, 0, "error", error.what()});
    return refused;
  }
}

Frame reply_of(const CompileResult& result) {
  Frame reply;
  json::array diagnostics, kernels;
  for (const targets::cuda::CompileDiagnostic& d : result.diagnostics)
    diagnostics.emplace_back(json::object{
        {"file", d.file}, {"line", d.line}, {"severity", d.severity}, {"message", d.message.substr(0, 2000)}});
  for (const targets::cuda::KernelResources& k : result.kernels)
    kernels.emplace_back(agents::to_json(agents::KernelResources{
        k.symbol, k.registers, k.stack_bytes, k.spill_store_bytes + k.spill_load_bytes, k.static_shared_bytes}));
  reply.body = {{"outcome", result.ok ? "ok" : "build_failed"},
                {"diagnostics", diagnostics},
                {"kernels", kernels},
                {"build_ns", result.build_ns}};
  if (result.ok) reply.fds.push_back(sealed_file("object", result.object));
  return reply;
}

Frame toolchain(const Compiler& compiler) {
  std::string text = compiler.version() + "\n" + compiler.library();
  for (const std::string& flag : targets::cuda::base_flags()) text += "\n" + flag;
  Frame reply;
  reply.body = {{"toolchain", text}};
  return reply;
}

}  // namespace

Role build_cuda_role(const std::vector<std::string>& arguments) {
  const std::filesystem::path scratch = arguments.at(1);
  Role role;
  // The library is opened here; what it opens itself with the first kernel (its builtins) lies beside it.
  const auto compiler = std::make_shared<targets::cuda::Compiler>();
  role.rules.read = library_folders();
  role.rules.write = {scratch};
  role.rules.may_execute = true;
  if (::chdir(scratch.c_str()) != 0) throw system_error("cannot enter '" + scratch.string() + "'", errno);
  role.handle = [compiler](Frame request) {
    if (request.body.contains("op")) return toolchain(*compiler);
    CompileRequest compile;
    compile.source = Mapped(request.fds.at(0).get(), Mapped::Access::read, 16u << 20).text();
    compile.file_name =
        std::filesystem::path(json::get_string(request.body, "file_name", "a build request")).filename();
    compile.flags = json::get_strings(request.body, "flags", "a build request");
    compile.architecture = json::get_string(request.body, "architecture", "a build request");
    compile.allow_spills = json::get_bool(request.body, "allow_spills", "a build request");
    // NVRTC works in this process, which has this one build.
    if (!targets::limit_processor_time(json::get_int(request.body, "timeout_ns", "a build request")))
      throw system_error("cannot limit the compiler's processor time", errno);
    return reply_of(build(*compiler, compile));
  };
  return role;
}

}  // namespace kiln::worker
