#include "tests/debugger/faults/faults.h"

#include <fmt/format.h>

namespace kiln::testing {
namespace {

constexpr const char* kRight = "for (int i = 0; i < n; ++i) y[i] = 2 * x[i];";

}  // namespace

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all = {
      {"missing header", "#include <site_vectors.h>", kRight, "missing header", false},
      {"missing header on one path", "#if path == 1\n#include <site_vectors.h>\n#endif", kRight, "missing header",
       true},
      {"undeclared name", "", "for (int i = 0; i < n; ++i) y[i] = path ? twice(x[i]) : 2 * x[i];",
       "undeclared identifier", false},
      {"undeclared name on one path", "",
       "#if path == 1\n  for (int i = 0; i < n; ++i) y[i] = twice(x[i]);\n#else\n  for (int i = 0; i < n; ++i) y[i] = "
       "2 * x[i];\n#endif",
       "undeclared identifier", true},
      {"type error",
       "template <int w> struct Vector { float lane[w]; };\ntemplate <int w> void put(float* y, Vector<w> v) { for "
       "(int i = 0; i < w; ++i) y[i] = v.lane[i]; }",
       "#if width > 8\n  put<width>(y, x);\n#endif\n  for (int i = 0; i < n; ++i) y[i] = 2 * x[i];", "type error",
       true},
      {"missing semicolon", "",
       "#if unroll == 4\n  const int step = 4\n#endif\n  for (int i = 0; i < n; ++i) y[i] = 2 * x[i];", "syntax error",
       true},
      {"missing symbol at link", "float site_twice(float);",
       "#if path == 1\n  for (int i = 0; i < n; ++i) y[i] = site_twice(x[i]);\n#else\n  for (int i = 0; i < n; ++i) "
       "y[i] = 2 * x[i];\n#endif",
       "missing symbol at link", true},
      {"constraint that the template does not state",
       "static_assert(width * unroll <= 32, \"the block is held in registers\");", kRight,
       "static assertion of the template", true},
      {"template recursion past the compiler's limit",
       "template <int d> struct Deep { static constexpr int value = Deep<d - 1>::value + 1; };\ntemplate <> struct "
       "Deep<0> { static constexpr int value = 0; };",
       "static constexpr int depth = Deep<width * 100>::value;\n  for (int i = 0; i < n; ++i) y[i] = depth > 0 ? 2 * "
       "x[i] : 0;",
       "compiler limit reached", true},
      {"compiler that does not end",
       "template <unsigned long d, unsigned long at> struct Tree { static constexpr unsigned long value = Tree<d - 1, "
       "2 * at>::value + Tree<d - 1, 2 * at + 1>::value; };\n"
       "template <unsigned long at> struct Tree<0, at> { static constexpr unsigned long value = at; };",
       "static constexpr unsigned long leaves = Tree<width == 16 ? 24 : 4, 1>::value;\n  for (int i = 0; i < n; ++i) "
       "y[i] = leaves > 0 ? 2 * x[i] : 0;",
       "build too slow", true},
      {"missing symbol at load", "#if path == 1\n#define site_kernel another_name\n#endif", kRight, "missing symbol",
       true},
      {"scratch that no node has", "", kRight, "workspace too large", true, std::int64_t{1} << 46},
      {"aligned load of rows that are not", "#include <xmmintrin.h>",
       "#if path == 1\n  for (int i = 1; i + 4 <= n; i += 4) _mm_storeu_ps(y + i, _mm_add_ps(_mm_load_ps(x + i), "
       "_mm_load_ps(x + i)));\n  y[0] = 2 * x[0];\n"
       "  for (int i = 997; i < n; ++i) y[i] = 2 * x[i];\n#else\n  for (int i = 0; i < n; ++i) y[i] = 2 * "
       "x[i];\n#endif",
       "aligned access to an address that is not aligned", true},
      {"instruction that the processor lacks", "",
       "#if width == 16\n  asm volatile(\"ud2\");\n#endif\n  for (int i = 0; i < n; ++i) y[i] = 2 * x[i];",
       "instruction that this processor lacks", true},
      {"stack overflow", "",
       "volatile float block[width * unroll << 18];\n  for (int i = 0; i < width * unroll << 18; i += 512) block[i] = "
       "1;\n  for (int i = 0; i < n; ++i) y[i] = 2 * x[i] * block[0];",
       nullptr, true},
      {"writes past the end by a tile", "",
       "for (int i = 0; i < n; i += width)\n    for (int j = 0; j < width; ++j) y[i + j] = 2 * x[i + j];",
       "writes past a buffer", true},
      {"drops the tail", "",
       "for (int i = 0; i + width <= n; i += width)\n    for (int j = 0; j < width; ++j) y[i + j] = 2 * x[i + j];",
       "leaves elements unwritten, as at a tail", true},
      {"division by zero", "",
       "volatile int parts = 4 - unroll;\n  const int each = n / parts;\n  for (int i = 0; i < n; ++i) y[i] = each >= "
       "0 ? 2 * x[i] : 0;",
       "integer division by zero", true},
      {"loop that does not advance", "",
       "volatile int step = unroll == 4 ? 0 : 1;\n  for (int i = 0; i < n; i += step) y[i] = 2 * x[i];",
       "did not end before its deadline", true},
      {"rounds to bfloat16",
       "static float rounded(float v) { unsigned u; __builtin_memcpy(&u, &v, 4); u = (u + 0x8000u) & 0xffff0000u; "
       "__builtin_memcpy(&v, &u, 4); return v; }",
       "for (int i = 0; i < n; ++i) y[i] = path ? rounded(2 * x[i]) : 2 * x[i];",
       "precision below that of the model's type", true},
      {"0/0 where a group is zero", "",
       "for (int i = 0; i < n; i += 4) {\n    float s = 0;\n    for (int j = 0; j < 4; ++j) s += x[i + j] < 0 ? -x[i + "
       "j] : x[i + j];\n"
       "    for (int j = 0; j < 4; ++j) y[i + j] = 2 * x[i + j] * (path == 1 || s > 0 ? s / s : 1);\n  }",
       "non-finite values handled differently", true},
      {"accumulator that keeps its value", "static float total;",
       "for (int i = 0; i < n; ++i) { y[i] = 2 * x[i] + (path ? total : 0); total += 1; }",
       "does what a kernel may not do", false},
      {"writes into its input", "",
       "for (int i = 0; i < n; ++i) y[i] = 2 * x[i];\n  if (unroll == 4) const_cast<float*>(x)[7] = 0;",
       "writes into an input", true},
      {"constant result", "", "for (int i = 0; i < n; ++i) y[i] = path ? 1 : 2 * x[i];", "ignores its inputs", true},
      {"calls what is not its own", "#include <cstdlib>",
       "if (width * unroll > 32) abort();\n  for (int i = 0; i < n; ++i) y[i] = 2 * x[i];",
       "does what a kernel may not do", true},
      {"wrong stride", "", "for (int i = 0; i < n; ++i) y[i] = 2 * x[i * unroll % n];", "wrong everywhere", true},
  };
  return all;
}

agents::Space fault_space() {
  agents::Space space{"r", "site", "doubled", "d", {"width", "unroll", "path"}, {{1, 4, 8, 16}, {1, 2, 4}, {0, 1}},
                      {},  0, {}};
  for (std::uint16_t w = 0; w < 4; ++w)
    for (std::uint16_t u = 0; u < 3; ++u)
      for (std::uint16_t p = 0; p < 2; ++p) space.rows.push_back({w, u, p});
  return space;
}

agents::RenderedKernel rendered(const Fault& fault, const agents::Variant& variant) {
  agents::RenderedKernel kernel;
  kernel.variant = variant;
  kernel.file_name = "kernel.cpp";
  kernel.source = "#include \"runtime/kernel_abi.h\"\n";
  for (const auto& [name, value] : variant.tunables) kernel.source += fmt::format("#define {} {}\n", name, value);
  kernel.source += fmt::format(
      "{}\nextern \"C\" void site_kernel(void* const* args, const kiln_task* task) {{\n"
      "  const float* x = static_cast<const float*>(args[0]);\n  float* y = static_cast<float*>(args[1]);\n"
      "  const int n = 1000;\n  (void)task;\n  {}\n}}\n",
      fault.prologue, fault.body);
  agents::RenderedLaunch launch;
  launch.symbol = "site_kernel";
  launch.scratch_bytes = variant.tunables.at("width") == 16 ? fault.scratch_bytes : 0;
  kernel.run = {launch};
  return kernel;
}

}  // namespace kiln::testing
