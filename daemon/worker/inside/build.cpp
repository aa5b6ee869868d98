// build: request {file_name, flags, libraries, timeout_ns} and the source as a file; reply {outcome, diagnostics,
// build_ns} and the object as a sealed file. Request {op: "toolchain", libraries}; reply {toolchain}: all that decides
// what equal requests give, as text.
#include <unistd.h>

#include <cerrno>

#include "daemon/targets/cpu/compile.h"
#include "daemon/worker/inside/role.h"
#include "daemon/worker/memory.h"
#include "runtime/base/digest.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace kiln::worker {

namespace {

// A flag or name that the target refuses is the template's mistake, hence a failed build and no failure of the bench.
targets::cpu::CompileResult build(const targets::cpu::CompileRequest& request) {
  try {
    return targets::cpu::compile(request);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_input) throw;
    targets::cpu::CompileResult refused;
    refused.diagnostics.push_back({request.file_name, 0, "error", error.what()});
    return refused;
  }
}

const char* outcome_of(const targets::cpu::CompileResult& result) {
  if (result.ok) return "ok";
  if (!result.forbidden.empty()) return "forbidden";
  return result.timeout ? "build_timeout" : "build_failed";
}

// Beside the compiler: the flags of every build, the header that kernels include, and the libraries that they link.
Frame toolchain(const json::object& request, const std::filesystem::path& include_dir) {
  std::string text = targets::cpu::compiler_version() + "\nkernel_abi.h " +
                     sha256_hex(read_file(include_dir / "runtime/kernel_abi.h"));
  for (const std::string& flag : targets::cpu::base_flags()) text += "\n" + flag;
  for (const std::string& library : json::get_strings(request, "libraries", "a build request"))
    text += "\n" + targets::cpu::library_version(library);
  Frame reply;
  reply.body = {{"toolchain", text}};
  return reply;
}

}  // namespace

Role build_role(const std::vector<std::string>& arguments) {
  const std::filesystem::path include_dir = arguments.at(0), scratch = arguments.at(1);
  Role role;
  role.rules.read = {include_dir};
  role.rules.write = {scratch};
  role.rules.may_execute = true;
  role.rules.memory_bytes = std::int64_t{4} << 30;
  if (::chdir(scratch.c_str()) != 0) throw system_error("cannot enter '" + scratch.string() + "'", errno);
  role.handle = [include_dir, scratch](Frame request) {
    if (request.body.contains("op")) return toolchain(request.body, include_dir);
    targets::cpu::CompileRequest compile;
    compile.source = Mapped(request.fds.at(0).get(), Mapped::Access::read, 16u << 20).text();
    compile.file_name =
        std::filesystem::path(json::get_string(request.body, "file_name", "a build request")).filename();
    compile.flags = json::get_strings(request.body, "flags", "a build request");
    compile.libraries = json::get_strings(request.body, "libraries", "a build request");
    compile.include_dir = include_dir;
    compile.scratch = scratch;
    compile.timeout_ns = json::get_int(request.body, "timeout_ns", "a build request");
    const targets::cpu::CompileResult result = build(compile);
    Frame reply;
    json::array diagnostics;
    for (const targets::cpu::CompileDiagnostic& d : result.diagnostics)
      diagnostics.emplace_back(json::object{
          {"file", d.file}, {"line", d.line}, {"severity", d.severity}, {"message", d.message.substr(0, 2000)}});
    reply.body = {{"outcome", outcome_of(result)}, {"diagnostics", diagnostics},
                  {"build_ns", result.build_ns}};
    if (result.ok) reply.fds.push_back(sealed_file("object", result.object));
    return reply;
  };
  return role;
}

}  // namespace kiln::worker
