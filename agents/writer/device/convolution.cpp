// Hooks of the convolution family on a GPU: one weight, one element of x, and the epilogue of one result. Spatial
// dimensions are numbered 0 to 2, with leading ones of one element where there are fewer.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/device/device.h"
#include "agents/writer/device/statistics.h"

namespace kiln::agents::writer::device {

namespace {

// The dimensions of an access before its spatial ones, in every access of a ConvolutionKernel.
constexpr std::size_t kFixed = 3;

// The strides of an access with the spatial ones filled up to three.
Access filled(Access access) {
  graph::Shape strides(access.strides.begin(), access.strides.begin() + kFixed);
  const graph::Shape spatial = leading_filled({access.strides.begin() + kFixed, access.strides.end()}, 0);
  strides.insert(strides.end(), spatial.begin(), spatial.end());
  access.strides = std::move(strides);
  return access;
}

std::vector<Access> filled(const std::vector<Access>& accesses) {
  std::vector<Access> out;
  for (const Access& access : accesses) out.push_back(filled(access));
  return out;
}

// The offset of an element from its Place by the names of its six indices.
std::string position(const Access& access, const std::vector<const char*>& indices) {
  std::string text;
  for (std::size_t d = 0; d < indices.size(); ++d) text += strided({{indices[d], access.strides[d]}});
  return text;
}

graph::Shape joined(graph::Shape fixed, const graph::Shape& spatial) {
  fixed.insert(fixed.end(), spatial.begin(), spatial.end());
  return fixed;
}

std::string taps_functions() {
  std::string text;
  for (int d = 0; d < 3; ++d)
    text += fmt::format(
        "KILN_DEVICE Taps taps{0}([[maybe_unused]] int phase) {{\n  return taps_of<kTransposed>(phase / {1} % "
        "kPhases{0}, "
        "kTaps{0}, kStride{0}, kDilation{0}, kBefore{0});\n}}\n",
        d,
        d == 0   ? "(kPhases1 * kPhases2)"
        : d == 1 ? "kPhases2"
                 : "1");
  return text;
}

}  // namespace

bool accepts_convolution(const ConvolutionKernel& k) {
  const auto shaped = [&](const Access& a) { return a.strides.size() == kFixed + k.out.size(); };
  return !k.out.empty() && k.out.size() <= kMostSpatial && k.m > 0 && k.c > 0 && k.x.type == k.w.type &&
         graph::is_float(k.x.type) && shaped(k.x) && shaped(k.w) &&
         std::all_of(k.reads.begin(), k.reads.end(), shaped) && std::all_of(k.writes.begin(), k.writes.end(), shaped) &&
         std::none_of(k.epilogue.nodes.begin(), k.epilogue.nodes.end(),
                      [](const graph::ExprNode& n) { return graph::is_row_reduction(n.op); });
}

Hooks convolution_hooks(const ConvolutionKernel& k, std::int64_t parts) {
  Hooks hooks;
  const graph::Shape results = joined({k.n, k.groups, k.m}, k.out);
  bool wide = is_wide(k.x, joined({k.n, k.groups, k.c}, k.in)) ||
              is_wide(k.w, joined({k.groups, k.m, k.c}, k.window)) || product(results) >= (std::int64_t{1} << 30);
  for (const std::vector<Access>* list : {&k.reads, &k.writes})
    for (const Access& access : *list) wide = wide || is_wide(access, results);
  const ConvolutionPhases phases(k);
  hooks.figures =
      index_type(wide) + fmt::format("using Value = {};  // of the sums\n", value_type(k.x.type)) +
      fmt::format("constexpr index_t kImages = {}, kGroups = {};\nconstexpr index_t kM = {}, kC = {};  // of a group\n",
                  k.n, k.groups, k.m, k.c) +
      spatial_constants("index_t", "kIn", k.in, 1) + spatial_constants("index_t", "kOut", k.out, 1) +
      spatial_constants("int", "kTaps", k.window, 1) + spatial_constants("int", "kStride", k.steps.strides, 1) +
      spatial_constants("int", "kDilation", k.steps.dilations, 1) +
      spatial_constants("int", "kBefore", k.steps.before, 0) + spatial_constants("int", "kPhases", phases.count, 1) +
      spatial_constants("index_t", "kPhaseOut", phases.out, 1) +
      fmt::format(
          "constexpr bool kTransposed = {};\nconstexpr int kPhases = {};  // that meet other taps\n"
          "constexpr index_t kColumns = {};  // results of a phase and an output channel\n",
          k.transposed, product(phases.count), k.n * product(phases.out)) +
      fmt::format("constexpr index_t kStretches = {};  // of these columns, none of whose results may meet\n",
                  k.statistics ? k.n : 1);

  std::vector<Access> reads = {filled(k.x), filled(k.w)};
  for (const Access& access : filled(k.reads)) reads.push_back(access);
  const std::vector<Access> writes = filled(k.writes);
  std::string code = taps_functions() + place_functions({reads, writes, -1}, {});
  code += fmt::format(
      "KILN_DEVICE Value load_x(const Arguments& arguments, index_t n, index_t g, index_t c, index_t i0, index_t i1, "
      "index_t i2) {{\n  const Place at = place_of(0);\n  return {};\n}}\n",
      element_value(reads[0], 0, position(reads[0], {"n", "g", "c", "i0", "i1", "i2"}), hooks.arguments));
  code += fmt::format(
      "KILN_DEVICE Value load_w(const Arguments& arguments, index_t g, index_t m, index_t c, int k0, int k1, int k2) "
      "{{\n  const Place at = place_of(0);\n  return {};\n}}\n",
      element_value(reads[1], 1, position(reads[1], {"g", "m", "c", "k0", "k1", "k2"}), hooks.arguments));
  const std::vector<const char*> result = {"n", "g", "m", "o0", "o1", "o2"};
  std::vector<graph::DType> types = {k.x.type};
  std::string call = "sum", declare, stores;
  for (std::size_t i = 2; i < reads.size(); ++i) {
    types.push_back(reads[i].type);
    call += ", " + element_value(reads[i], i, position(reads[i], result), hooks.arguments);
  }
  const graph::Expr epilogue = with_observed(k.epilogue, k.statistics);
  for (std::size_t r = 0; r < epilogue.results.size(); ++r) {
    declare += fmt::format("  {} z{};\n",
                           value_type(epilogue.nodes[static_cast<std::size_t>(epilogue.results[r])].type), r);
    call += fmt::format(", z{}", r);
  }
  for (std::size_t r = 0; r < writes.size(); ++r) {
    stores +=
        "  " + element_store(writes[r], r, position(writes[r], result), fmt::format("z{}", r), hooks.arguments) + "\n";
  }
  code += expression_function(epilogue, types) +
          fmt::format(
              "\n// The epilogue of one result; what statistics are of, if any.\n"
              "KILN_DEVICE f32 finish(const Arguments& arguments, "
              "[[maybe_unused]] index_t n, [[maybe_unused]] index_t g, [[maybe_unused]] index_t m, "
              "[[maybe_unused]] index_t o0, [[maybe_unused]] index_t o1, [[maybe_unused]] index_t o2, Value sum) {{\n"
              "  const Place at = place_of(0);\n{}  expression({});\n{}  return {};\n}}\n",
              declare, call, stores, k.statistics ? fmt::format("z{}", writes.size()) : "0");
  code += statistics_code(k.statistics, k.n * k.groups * k.m, parts, hooks);
  hooks.code = arguments_struct(hooks.arguments) + code;
  return hooks;
}

}  // namespace kiln::agents::writer::device
