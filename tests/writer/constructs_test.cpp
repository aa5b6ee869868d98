#include "agents/writer/constructs.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "runtime/base/files.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

std::string found(const std::string& source, const std::string& construct) {
  RenderedKernel kernel;
  kernel.source = source;
  return forbidden_construct(kernel, {construct}).value_or("none");
}

RenderedKernel compiled(std::vector<std::string> flags, std::vector<std::string> features) {
  RenderedKernel kernel;
  kernel.compile_flags = std::move(flags);
  kernel.cpu_features = std::move(features);
  return kernel;
}

}  // namespace

TEST_CASE("a construct is found in code, with its line, and not in a comment or within another word") {
  CHECK(found("int x;\n  asm volatile(\"nop\");\n", "inline-assembly") ==
        "inline-assembly: line 2: asm volatile(\"nop\");");
  CHECK(found("// asm\n/* asm\n asm */ int y;\n", "inline-assembly") == "none");
  CHECK(found("int plasma; int asm_; int x_asm;\n", "inline-assembly") == "none");
  CHECK(found("/* a */ __asm__(\"\");\n", "inline-assembly").find("line 1") != std::string::npos);
  CHECK(found("const char* s = \"/*\";\nasm(\"\");\nconst char* t = \"*/\";\n", "inline-assembly").find("line 2") !=
        std::string::npos);
  CHECK(found("auto s = R\"(\" /*)\"; asm(\"\"); // */\n", "inline-assembly").find("line 1") != std::string::npos);
  CHECK(found("v = _mm256_add_ps(a, b);", "intrinsics").find("line 1: v = _mm256") != std::string::npos);
  CHECK(found("_mm512_stream_ps(p, v);", "non-temporal-stores") != "none");
  CHECK(found("v = _mm512_stream_load_si512(p);", "non-temporal-stores") == "none");
  CHECK(found("asm(\"movntps %0, %1\");", "non-temporal-stores") != "none");
  CHECK(found("_mm512_store_ps(p, v);", "non-temporal-stores") == "none");
  CHECK(found("y = __expf(x);", "fast-math") != "none");
  CHECK(found("y = expf(x);", "fast-math") == "none");
  CHECK(found("asm(\"rsqrt.approx.f32 %0, %1;\");", "fast-math") != "none");
  CHECK(found("", "intrinsics") == "none");
}

TEST_CASE("what a kernel is compiled and linked with counts too") {
  CHECK(forbidden_construct(compiled({"-O3", "-ffast-math"}, {}), {"fast-math"}) ==
        "fast-math: it is compiled with -ffast-math");
  CHECK_FALSE(forbidden_construct(compiled({"-O3", "-ffp-contract=fast"}, {}), {"fast-math"}));
  CHECK(forbidden_construct(compiled({}, {"avx2", "avx512bw"}), {"avx512"}) == "avx512: it is compiled for avx512bw");
  CHECK_FALSE(forbidden_construct(compiled({}, {"avx2", "fma"}), {"avx512", "amx"}));
  RenderedKernel vendor;
  vendor.libraries = {"dnnl"};
  CHECK(forbidden_construct(vendor, {"vendor-libraries"}) == "vendor-libraries: it links dnnl");
}

TEST_CASE("Kiln's own templates for a CPU have neither inline assembly nor fast mathematics") {
  const std::filesystem::path root = std::filesystem::path(KILN_SOURCE_DIR) / "store/corpus/templates";
  int read = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().filename() != "kernel.cpp") continue;
    RenderedKernel kernel;
    kernel.source = read_file(entry.path());
    INFO(entry.path().string());
    CHECK_FALSE(forbidden_construct(kernel, {"inline-assembly", "fast-math"}));
    ++read;
  }
  CHECK(read > 10);
}
