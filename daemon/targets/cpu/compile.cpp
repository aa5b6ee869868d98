#include "daemon/targets/cpu/compile.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "daemon/targets/cpu/audit.h"
#include "daemon/targets/processor_time.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/unique_fd.h"

namespace kiln::targets::cpu {
namespace {

constexpr const char* compiler = "/usr/bin/c++";
constexpr std::size_t most_output = 1u << 20;

struct Finished {
  bool timeout = false;
  int status = 0;
  std::string output;  // stdout and stderr
};

void check_flag(const std::string& flag) {
  // What makes the compiler load or run something else, or write elsewhere. The sandbox would stop most of it; a clear
  // refusal names the template's mistake.
  static constexpr const char* forbidden[] = {"-fplugin", "-B",          "-specs",   "--specs",      "-wrapper", "-o",
                                              "-dump",    "-save-temps", "-Wl,-o",   "-Wl,--output", "-Xlinker", "-M",
                                              "-include", "-imacros",    "-fuse-ld", "--sysroot"};
  bool bad = flag.size() < 2 || flag[0] != '-' || flag.find('\0') != std::string::npos;
  for (const char* f : forbidden) bad = bad || flag.rfind(f, 0) == 0;
  if (bad)
    throw Error(ErrorCode::invalid_input, "cannot compile with flag '" + flag + "': it is not allowed in a template");
}

bool is_plain_name(const std::string& text) {
  return !text.empty() && text[0] != '-' && text[0] != '.' &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-' || c == '.' || c == '+'; });
}

// Only what a compiler needs, so that equal requests give equal objects whoever runs the daemon.
std::vector<std::string> environment(const std::filesystem::path& scratch) {
  return {"PATH=/usr/bin:/bin",  "LC_ALL=C",        "HOME=" + scratch.string(), "TMPDIR=" + scratch.string(),
          "SOURCE_DATE_EPOCH=0", "CCACHE_DISABLE=1"};
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& t : texts) out.push_back(t.data());
  out.push_back(nullptr);
  return out;
}

// Between fork and exec: only what is safe there. Why it could not go on is written to `failed`, which exec closes.
[[noreturn]] void become(char* const* arguments, char* const* variables, const char* scratch, int output,
                         std::int64_t timeout_ns, int failed) {
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing >= 0 && ::dup2(nothing, 0) >= 0 && ::dup2(output, 1) >= 0 && ::dup2(output, 2) >= 0 &&
      ::chdir(scratch) == 0 && ::setpgid(0, 0) == 0 &&  // the driver's children die with it
      targets::limit_processor_time(timeout_ns))
    (void)::execve(compiler, arguments, variables);
  const int error = errno;
  (void)!::write(failed, &error, sizeof error);  // ignoring: the status says it too
  ::_exit(127);
}

pid_t spawn(std::vector<std::string> arguments, const std::filesystem::path& scratch, int output,
            std::int64_t timeout_ns) {
  std::vector<std::string> variables = environment(scratch);
  const std::vector<char*> argv = pointers(arguments), envp = pointers(variables);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw system_error("cannot make a pipe", errno);
  const UniqueFd failure(ends[0]);
  UniqueFd failed(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) become(argv.data(), envp.data(), scratch.c_str(), output, timeout_ns, failed.get());
  int error = pid < 0 ? errno : 0;
  failed.reset();
  if (pid > 0 && ::read(failure.get(), &error, sizeof error) > 0) (void)::waitpid(pid, nullptr, 0);
  if (error != 0) throw system_error(std::string("cannot start '") + compiler + "'", error);
  return pid;
}

// Waits by pidfd until the child ends or the wall's time is over; then the whole group is killed.
Finished wait_for(pid_t pid, std::int64_t timeout_ns) {
  Finished f;
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(wall_limit_ns(timeout_ns));
  while (pidfd) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    pollfd p{pidfd.get(), POLLIN, 0};
    const int ready = ::poll(&p, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1 << 30)));
    if (ready < 0 && errno == EINTR) continue;
    f.timeout = ready == 0;
    break;
  }
  if (f.timeout) (void)::kill(-pid, SIGKILL);  // ESRCH: it has just ended by itself
  rusage used{};
  while (::wait4(pid, &f.status, 0, &used) < 0 && errno == EINTR) {
  }
  const std::int64_t used_ns = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1'000'000'000 +
                               (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1'000;  // of all its processes
  // The driver survives the compiler proper that the limit ended. What is counted here and what the kernel held to the
  // limit are two clocks, of which one counts ticks.
  f.timeout = f.timeout || (f.status != 0 && used_ns >= timeout_ns - timeout_ns / 10);
  return f;
}

// The output goes to an unlinked memory file, so that it needs no folder; it is cut at `most_output` when read.
Finished execute(const std::vector<std::string>& arguments, const std::filesystem::path& scratch,
                 std::int64_t timeout_ns) {
  const UniqueFd output(::memfd_create("compiler output", MFD_CLOEXEC));
  if (!output) throw system_error("cannot create a file for the compiler's output", errno);
  Finished f = wait_for(spawn(arguments, scratch, output.get(), timeout_ns), timeout_ns);
  f.output.resize(most_output);
  const ssize_t n = ::pread(output.get(), f.output.data(), f.output.size(), 0);
  f.output.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return f;
}

// Clang refuses GCC's option.
bool speaks_json() {
  static const bool gcc = compiler_version().find("clang") == std::string::npos;
  return gcc;
}

std::vector<std::string> command_line(const CompileRequest& r) {
  std::vector<std::string> line = {compiler};
  for (const std::string& f : base_flags()) line.push_back(f);
  line.push_back("-ffile-prefix-map=" + r.scratch.string() + "=.");
  if (speaks_json()) line.emplace_back("-fdiagnostics-format=json");
  if (r.libraries.empty()) line.emplace_back("-nostartfiles");  // a kernel's own object has nothing to start
  line.push_back("-I" + r.include_dir.string());
  for (const std::string& f : r.flags) line.push_back(f);
  line.insert(line.end(), {r.file_name, "-o", "kernel.so"});
  for (const std::string& l : r.libraries) line.push_back("-l" + l);
  return line;
}

void check(const CompileRequest& r) {
  for (const std::string& f : r.flags) check_flag(f);
  if (!is_plain_name(r.file_name) || r.file_name.find(".cpp") == std::string::npos)
    throw Error(ErrorCode::invalid_input, "cannot compile '" + r.file_name + "': its name is not a plain .cpp name");
  for (const std::string& l : r.libraries)
    if (!is_plain_name(l))
      throw Error(ErrorCode::invalid_input, "cannot link library '" + l + "': its name is not plain");
}

}  // namespace

std::vector<std::string> base_flags() {
  return {"-std=c++20",
          "-O3",
          "-fPIC",
          "-shared",
          "-frandom-seed=kiln",
          "-Wl,--build-id=none",
          "-Wl,-z,defs",
          "-Wl,--as-needed",
          "-Wl,-z,relro,-z,now"};
}

CompileResult compile(const CompileRequest& request) {
  check(request);
  write_file_atomic(request.scratch / request.file_name, request.source);
  CompileResult result;
  const auto begin = std::chrono::steady_clock::now();
  const Finished f = execute(command_line(request), request.scratch, request.timeout_ns);
  result.build_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begin).count();
  result.diagnostics = parse_diagnostics(f.output);
  if (f.timeout) {
    result.timeout = true;
    result.diagnostics.push_back({request.file_name, 0, "error", "the compiler was stopped at its time limit"});
  } else if (!WIFEXITED(f.status) || WEXITSTATUS(f.status) != 0) {
    if (result.diagnostics.empty())
      result.diagnostics.push_back(
          {"", 0, "error", f.output.empty() ? "the compiler failed and said nothing" : f.output.substr(0, 2000)});
  } else {
    result.object = read_file(request.scratch / "kernel.so", 256u << 20);
    // What links a library is a vendor's kernel, named as such in every report; its own functions and memory are its
    // business.
    if (request.libraries.empty())
      result.forbidden = forbidden_in_kernel(audit_object(std::as_bytes(std::span(result.object))));
    if (!result.forbidden.empty()) result.diagnostics.push_back({request.file_name, 0, "error", result.forbidden});
    result.ok = result.forbidden.empty();
  }
  return result;
}

std::string compiler_version() {
  try {
    const Finished f = execute({compiler, "--version"}, "/", 10'000'000'000);
    if (f.timeout || f.status != 0) return "none";
    return f.output.substr(0, f.output.find('\n'));
  } catch (const Error&) {
    return "none";  // no compiler is a state of the node, reported as such
  }
}

std::string library_version(const std::string& name) {
  if (!is_plain_name(name))
    throw Error(ErrorCode::invalid_input, "cannot look up library '" + name + "': its name is not plain");
  const Finished f = execute({compiler, "-print-file-name=lib" + name + ".so"}, "/", 10'000'000'000);
  std::error_code absent;  // a library that is not there is a version too: what needs it does not build
  const std::filesystem::path file =
      std::filesystem::canonical(f.output.substr(0, f.output.find('\n')), absent);
  if (absent) return name + ": none";
  return name + ": " + file.filename().string() + " " + std::to_string(std::filesystem::file_size(file, absent));
}

}  // namespace kiln::targets::cpu
