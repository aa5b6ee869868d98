#include "daemon/targets/cuda/compile.h"

#include <doctest/doctest.h>

#include <future>

#include "daemon/targets/cuda/oracle/kernels.h"
#include "runtime/base/error.h"
#include "tests/cuda/nvrtc.h"
#include "tests/cuda/sass.h"

using namespace kiln;
using namespace kiln::targets::cuda;

TEST_CASE("the log of ptxas gives each kernel's resources") {
  // The form of CUDA 13.0's ptxas, as its manual shows it under --verbose.
  const auto kernels = parse_resources(
      "ptxas info    : 0 bytes gmem\n"
      "ptxas info    : Compiling entry function 'first' for 'sm_90a'\n"
      "ptxas info    : Function properties for first\n"
      "    16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads\n"
      "ptxas info    : Used 168 registers, used 1 barriers, 1024 bytes smem\n"
      "ptxas info    : Compiling entry function 'second' for 'sm_90a'\n"
      "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Used 20 registers, used 0 barriers\n");
  REQUIRE(kernels.size() == 2);
  CHECK(kernels[0].symbol == "first");
  CHECK(kernels[0].registers == 168);
  CHECK(kernels[0].stack_bytes == 16);
  CHECK(kernels[0].spill_store_bytes == 12);
  CHECK(kernels[0].spill_load_bytes == 8);
  CHECK(kernels[0].static_shared_bytes == 1024);
  CHECK(kernels[1].registers == 20);
  CHECK(kernels[1].static_shared_bytes == 0);
}

TEST_CASE("a diagnostic has its file, line and severity") {
  const auto found = parse_diagnostics(
      "kernel.cu(12): error: identifier \"x\" is undefined\n    y = x;\n"
      "kernel.cu(3): warning #177-D: variable \"z\" was declared but never referenced\n"
      "ptxas fatal   : Ptx assembly aborted due to errors\n");
  REQUIRE(found.size() == 3);
  CHECK(found[0].file == "kernel.cu");
  CHECK(found[0].line == 12);
  CHECK(found[0].severity == "error");
  CHECK(found[0].message == "identifier \"x\" is undefined");
  CHECK(found[1].severity == "warning");
  CHECK(found[2].file == "ptxas");
}

TEST_CASE("a log cut at any byte is read without harm") {
  const std::string log =
      "kernel.cu(12): error: x\nptxas info    : Compiling entry function 'first' for 'sm_90a'\n    16 bytes stack "
      "frame\n";
  for (std::size_t end = 0; end <= log.size(); ++end) {
    (void)parse_diagnostics(std::string_view(log).substr(0, end));
    CHECK(parse_resources(std::string_view(log).substr(0, end)).size() <= 1);
  }
}

TEST_CASE("architectures by compute capability") {
  CHECK(architecture_of(8, 0) == "sm_80");
  CHECK(architecture_of(8, 9) == "sm_89");
  CHECK(architecture_of(9, 0) == "sm_90a");
  CHECK(architecture_of(12, 0) == "sm_120");
}

TEST_CASE("NVRTC makes a cubin without a GPU, reports errors as diagnostics, and spilling kernels fail") {
  const std::unique_ptr<Compiler> compiler = testing::nvrtc();
  if (!compiler) return;
  const CompileResult good = compiler->compile(
      {"kernel.cu", "extern \"C\" __global__ void k(float* x) { x[threadIdx.x] = 1; }", "sm_90a", {}});
  REQUIRE(good.ok);
  CHECK(
      good.object.starts_with("\x7f"
                              "ELF"));
  REQUIRE(good.kernels.size() == 1);
  CHECK(good.kernels[0].symbol == "k");

  const CompileResult bad = compiler->compile({"kernel.cu", "__global__ void k() { y = 1; }", "sm_90a", {}});
  CHECK_FALSE(bad.ok);
  CHECK(bad.object.empty());
  REQUIRE_FALSE(bad.diagnostics.empty());
  CHECK(bad.diagnostics.front().severity == "error");

  // 96 sums that are all live in each round cannot stay in 64 registers.
  const std::string spilling =
      "extern \"C\" __global__ void k(const float* x, float* y, int rounds) {\n  float s[96] = {};\n"
      "  for (int r = 0; r < rounds; ++r)\n#pragma unroll\n    for (int i = 0; i < 96; ++i) s[i] = s[i] * s[i] + "
      "x[96 * r + i];\n"
      "#pragma unroll\n  for (int i = 0; i < 96; ++i) y[i] = s[i];\n}\n";
  CompileRequest request{"kernel.cu", spilling, "sm_90a", {"--maxrregcount=64"}};
  CHECK_FALSE(compiler->compile(request).ok);
  request.allow_spills = true;
  CHECK(compiler->compile(request).ok);
  CHECK_THROWS_AS((void)compiler->compile({"kernel.cu", "", "sm_1", {}}), Error);
}

TEST_CASE("an access before the wait for the launch ahead is found in machine code") {
  const std::unique_ptr<Compiler> compiler = testing::nvrtc();
  if (!compiler) return;
  const auto order_in = [&](const std::string& body) {
    const std::string source = "extern \"C\" __global__ void k(const float* x, float* y) {\n" + body + "}\n";
    const CompileResult result = compiler->compile({"kernel.cu", source, "sm_90a", {}});
    REQUIRE(result.ok);
    return testing::order_of_accesses(result.object).at("k");
  };
  const std::string wait = "asm volatile(\"griddepcontrol.wait;\" ::: \"memory\");\n";
  const testing::Order late = order_in(wait + "y[threadIdx.x] = x[threadIdx.x];\n");
  CHECK(late.waits);
  CHECK(late.accesses == 2);
  CHECK(late.early == 0);
  const testing::Order early = order_in("const float a = x[threadIdx.x];\n" + wait + "y[threadIdx.x] = a;\n");
  CHECK(early.accesses == 2);
  CHECK(early.early == 1);
  CHECK_FALSE(order_in("y[threadIdx.x] = x[threadIdx.x];\n").waits);
  CHECK_THROWS((void)testing::order_of_accesses("\x7f" "ELF"));
}

TEST_CASE("the oracle's kernels compile for the oldest and the newest architecture") {
  const std::unique_ptr<Compiler> compiler = testing::nvrtc();
  if (!compiler) return;
  std::vector<std::future<CompileResult>> results;  // seconds each
  for (const char* architecture : {"sm_80", "sm_120"})
    results.push_back(std::async(std::launch::async, [&compiler, architecture] {
      return compiler->compile({"oracle.cu", oracle::kernels_source(), architecture, oracle::kernels_flags(), true});
    }));
  for (std::future<CompileResult>& one : results) {
    const CompileResult result = one.get();
    INFO((result.diagnostics.empty() ? "" : result.diagnostics.front().message));
    CHECK(result.ok);
  }
}
