// The audit of code objects, held to objects that the real compiler makes and to damaged ones.
#include <doctest/doctest.h>

#include <filesystem>
#include <random>

#include "daemon/targets/cpu/audit.h"
#include "daemon/targets/cpu/compile.h"
#include "runtime/base/error.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::targets::cpu;

namespace {

CompileResult compiled(const std::string& source, const std::vector<std::string>& libraries = {}) {
  const kiln::test::TemporaryFolder folder;
  CompileRequest request;
  request.file_name = "kernel.cpp";
  request.source = source;
  request.libraries = libraries;
  request.include_dir = KILN_SOURCE_DIR;
  request.scratch = folder.path;
  return compile(request);
}

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

TEST_CASE("a kernel that computes from its arguments passes, with tables and functions of mathematics") {
  const CompileResult result = compiled(R"(#include <math.h>
static const float table[4] = {1, 2, 3, 4};
extern "C" void k(void* const* a, const void*) { float* y = static_cast<float*>(a[0]);
  for (int i = 0; i < 4; ++i) y[i] = erff(table[i]) + powf(y[i], 3); }
)");
  CHECK(result.ok);
  const ObjectAudit audit = audit_object(bytes_of(result.object));
  CHECK(audit.imports.size() == 2);
  CHECK(audit.writable_bytes == 0);
  CHECK(audit.thread_local_bytes == 0);
  CHECK_FALSE(audit.runs_at_load);
  CHECK_FALSE(audit.writable_code);
}

TEST_CASE("what a kernel may not bring is named, whatever way it is written") {
  struct { const char* source; const char* why;
  } const cases[] = {
      {"static long n; extern \"C\" long k() { return ++n; }", "8 bytes between calls"},
      {"char big[3000]; extern \"C\" void k() { big[7] = 1; }", "3000 bytes between calls"},
      {"static thread_local long n; extern \"C\" void k() { ++n; }", "8 bytes per thread"},
      {"extern \"C\" long write(int, const void*, unsigned long); extern \"C\" void k() { write(1, \"\", 1); }",
       "'write'"},
      {"static int f() { return 1; } extern \"C\" int g() __attribute__((ifunc(\"choose\"))); extern \"C\" { static "
       "auto choose() -> int (*)() { return f; } } extern \"C\" int k() { return g(); }",
       "when it is loaded"},
      {"struct A { A() { asm volatile(\"nop\"); } }; static A a; extern \"C\" void k() {}", "when it is loaded"},
  };
  for (const auto& c : cases) {
    INFO(std::string(c.source));
    const CompileResult result = compiled(c.source);
    INFO(result.forbidden);
    CHECK_FALSE(result.ok);
    CHECK(result.forbidden.find(c.why) != std::string::npos);
  }
}

TEST_CASE("a vendor's kernel is not held to it, and its library is on record") {
  const CompileResult result =
      compiled("#include <stdlib.h>\nstatic int n; extern \"C\" void* k() { ++n; return malloc(4); }", {"m"});
  CHECK(result.ok);
  CHECK(audit_object(bytes_of(result.object)).writable_bytes > 0);
}

TEST_CASE("a truncated or damaged object is refused or read, and never more") {
  const std::string object = compiled("extern \"C\" void k(float* y) { y[0] = 1; }").object;
  REQUIRE(object.size() > 1000);
  for (std::size_t n = 0; n < object.size(); n += n < 5000 ? 1 : 97) {
    const std::string cut = object.substr(0, n);
    CHECK_THROWS_AS((void)audit_object(bytes_of(cut)), Error);
  }
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string damaged = object;
    for (int flips = 0; flips < 4; ++flips) damaged[random() % damaged.size()] = static_cast<char>(random());
    try {
      (void)audit_object(bytes_of(damaged));
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::corrupt);
      ++refused;
    }
  }
  CHECK(refused > 0);
}
