// Source to object: a working one, its bytes twice, broken ones, endless ones, and flags that reach outside.
#include "daemon/targets/cpu/compile.h"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <thread>

#include "daemon/targets/processor_time.h"
#include "runtime/base/error.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::targets::cpu;
using kiln::test::TemporaryFolder;

namespace {

CompileRequest request(const TemporaryFolder& scratch, const std::string& source) {
  CompileRequest r;
  r.file_name = "kernel.cpp";
  r.source = source;
  r.include_dir = KILN_SOURCE_DIR;
  r.scratch = scratch.path;
  return r;
}

const std::string answer_source =
    "#include \"runtime/kernel_abi.h\"\n"
    "extern \"C\" int answer() { return KILN_KERNEL_ABI_VERSION + 41; }\n";

}  // namespace

TEST_CASE("an object that loads and runs, the same bytes from another folder") {
  const TemporaryFolder one, two;
  const CompileResult a = compile(request(one, answer_source));
  REQUIRE(a.ok);
  CHECK(a.diagnostics.empty());
  CHECK(a.build_ns > 0);
  const CompileResult b = compile(request(two, answer_source));
  REQUIRE(b.ok);
  CHECK(a.object == b.object);

  const std::string file = (one.path / "copy.so").string();
  std::ofstream(file) << a.object;
  void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE(handle);
  CHECK(reinterpret_cast<int (*)()>(::dlsym(handle, "answer"))() == 42);
  ::dlclose(handle);
}

TEST_CASE("an error has its place") {
  const TemporaryFolder scratch;
  const CompileResult r = compile(request(scratch, "int f() {\n  return undeclared_name;\n}\n"));
  CHECK_FALSE(r.ok);
  REQUIRE_FALSE(r.diagnostics.empty());
  CHECK(r.diagnostics[0].severity == "error");
  CHECK(r.diagnostics[0].line == 2);
  CHECK(r.diagnostics[0].file.find("kernel.cpp") != std::string::npos);
  CHECK(r.diagnostics[0].message.find("undeclared_name") != std::string::npos);
}

TEST_CASE("what is missing at link time is said, at build time") {
  const TemporaryFolder scratch;
  const CompileResult r =
      compile(request(scratch, "extern \"C\" int elsewhere();\nextern \"C\" int f() { return elsewhere(); }\n"));
  CHECK_FALSE(r.ok);
  CHECK(std::any_of(r.diagnostics.begin(), r.diagnostics.end(),
                    [](const CompileDiagnostic& d) { return d.message.find("elsewhere") != std::string::npos; }));
  CompileRequest with_library = request(scratch, answer_source);
  with_library.libraries = {"no_such_library_of_kiln"};
  CHECK_FALSE(compile(with_library).ok);
}

TEST_CASE("an endless build is stopped at its limit of processor time") {
  const TemporaryFolder scratch;
  CompileRequest r = request(
      scratch,
      "template <unsigned long N> struct F { static constexpr unsigned long v = F<N - 1>::v + F<N - 2>::v % 7; };\n"
      "template <> struct F<0> { static constexpr unsigned long v = 0; };\n"
      "template <> struct F<1> { static constexpr unsigned long v = 1; };\n"
      "constexpr unsigned long spin() { unsigned long s = 0; for (unsigned long i = 0; i < 4000000000000ul; ++i) s += "
      "i; return s; }\n"
      "constexpr unsigned long x = spin();\n");
  r.flags = {"-fconstexpr-ops-limit=9000000000000", "-fconstexpr-loop-limit=2000000000"};
  r.timeout_ns = 1'000'000'000;
  const CompileResult result = compile(r);  // which would take hours
  CHECK_FALSE(result.ok);
  CHECK(result.timeout);
  CHECK(result.diagnostics.back().message.find("time limit") != std::string::npos);
}

TEST_CASE("a build that waits, as on a loaded machine, takes none of its limit; one that waits for ever ends too") {
  const TemporaryFolder scratch;
  CompileRequest r = request(scratch, "#include \"late.h\"\nextern \"C\" int answer() { return late; }\n");
  const std::string late = (scratch.path / "late.h").string();
  REQUIRE(::mkfifo(late.c_str(), 0600) == 0);  // who reads it waits for a writer
  r.flags = {"-I."};
  r.timeout_ns = 1'000'000'000;
  const auto begin = std::chrono::steady_clock::now();
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(2'500));
    std::ofstream(late) << "constexpr int late = 42;\n";
  });
  const CompileResult right = compile(r);
  writer.join();
  CHECK(std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(2'000));
  CHECK_FALSE(right.timeout);
  CHECK(right.ok);

  r.timeout_ns = 100'000'000;  // a second of the wall's
  const CompileResult never = compile(r);
  CHECK(never.timeout);
  CHECK_FALSE(never.ok);
  CHECK(never.build_ns >= targets::wall_limit_ns(r.timeout_ns));
}

TEST_CASE("a limit of processor time ends who computes and not who waits, and is counted from now on") {
  const auto burn = [](double seconds) {
    const std::clock_t end = std::clock() + static_cast<std::clock_t>(seconds * CLOCKS_PER_SEC);
    while (std::clock() < end) {
    }
  };
  const auto ended_by = [](const auto& what) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      what();
      ::_exit(0);
    }
    int status = -1;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  };
  CHECK(ended_by([&] { if (targets::limit_processor_time(1)) burn(5); }) == SIGXCPU);
  CHECK(ended_by([&] { if (targets::limit_processor_time(1)) ::usleep(1'500'000); }) == 0);
  CHECK(ended_by([&] {
          burn(1.2);
          if (targets::limit_processor_time(1'000'000'000)) burn(0.7);  // 1.9 s in all
        }) == 0);
}

TEST_CASE("flags and names that reach outside are refused") {
  const TemporaryFolder scratch;
  for (const char* flag : {"-fplugin=/x.so", "-o/etc/passwd", "@file", "kernel2.cpp", "-B/tmp", "-specs=x",
                           "-include/etc/passwd", "-wrapper", "", "-", "-save-temps", "-Wl,-o,x"}) {
    INFO(flag);
    CompileRequest r = request(scratch, answer_source);
    r.flags = {flag};
    CHECK_THROWS_AS((void)compile(r), Error);
  }
  for (const char* name : {"../kernel.cpp", "/kernel.cpp", "kernel", "", "-x.cpp", "a b.cpp", ".cpp"}) {
    INFO(name);
    CompileRequest r = request(scratch, answer_source);
    r.file_name = name;
    CHECK_THROWS_AS((void)compile(r), Error);
  }
  CompileRequest r = request(scratch, answer_source);
  r.libraries = {"m -Wl,-o,x"};
  CHECK_THROWS_AS((void)compile(r), Error);
}

TEST_CASE("Clang's and the linker's lines") {
  const auto d = parse_diagnostics(
      "kernel.cpp:12:3: error: use of undeclared identifier 'x'\n"
      "  x = 1;\n  ^\n"
      "dir/other.h:7: warning: odd\n"
      "kernel.cpp:3:10: fatal error: 'no.h' file not found\n"
      "/usr/bin/ld: /tmp/cc.o: undefined reference to `f()'\n"
      "/usr/bin/ld: cannot find -lfoo: No such file or directory\n"
      "2 errors generated.\n");
  REQUIRE(d.size() == 5);
  CHECK(d[0].file == "kernel.cpp");
  CHECK(d[0].line == 12);
  CHECK(d[0].severity == "error");
  CHECK(d[0].message == "use of undeclared identifier 'x'");
  CHECK(d[1].file == "dir/other.h");
  CHECK(d[1].line == 7);
  CHECK(d[1].severity == "warning");
  CHECK(d[2].severity == "error");
  CHECK(d[2].message == "'no.h' file not found");
  CHECK(d[3].message.find("undefined reference") != std::string::npos);
  CHECK(d[4].message.find("-lfoo") != std::string::npos);
}

TEST_CASE("GCC's JSON, cut anywhere, never throws; a flood is bounded") {
  const std::string text =
      R"([{"kind":"error","message":"expected ';'","locations":[{"caret":{"file":"k.cpp","line":3,"column":5}}],)"
      R"("children":[]}])";
  const auto whole = parse_diagnostics(text);
  REQUIRE(whole.size() == 1);
  CHECK(whole[0].file == "k.cpp");
  CHECK(whole[0].line == 3);
  CHECK(whole[0].message == "expected ';'");
  for (std::size_t cut = 0; cut < text.size(); ++cut) CHECK(parse_diagnostics(text.substr(0, cut)).empty());
  std::string flood;
  for (int i = 0; i < 10000; ++i) flood += "a.cpp:1:1: error: again\n";
  CHECK(parse_diagnostics(flood).size() == 64);
}

TEST_CASE("the compiler has a name") { CHECK(compiler_version() != "none"); }
