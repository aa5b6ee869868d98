// Hooks of pointwise/tiles: operands whose contiguous dimension ("down") is not the result's ("across").
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/device/device.h"

namespace kiln::agents::writer::device {

bool accepts_tiles(const PointwiseKernel& k) { return accepts_pointwise(k) && transposed_reads(k).has_value(); }

Hooks tiles_hooks(const PointwiseKernel& k) {
  Hooks hooks;
  const Transposed transposed = transposed_reads(k).value();
  const std::size_t across = k.space.size() - 1, down = transposed.dimension;
  bool wide = product(k.space) >= (std::int64_t{1} << 30);
  for (const Access& access : k.reads) wide = wide || is_wide(access, k.space);
  for (const Access& access : k.writes) wide = wide || is_wide(access, k.space);
  hooks.figures =
      index_type(wide) + fmt::format(
                             "constexpr index_t kDown = {};    // extent along which the operands are contiguous\n"
                             "constexpr index_t kAcross = {};  // extent along which the results are\n",
                             k.space[down], k.space[across]);
  // Places are those of planes: the two dimensions of a tile are at their beginning there.
  graph::Shape planes;
  std::vector<Access> reads = k.reads, writes = k.writes;
  for (std::vector<Access>* list : {&reads, &writes})
    for (Access& access : *list) {
      access.strides.erase(access.strides.begin() + static_cast<std::ptrdiff_t>(across));
      access.strides.erase(access.strides.begin() + static_cast<std::ptrdiff_t>(down));
    }
  for (std::size_t d = 0; d < across; ++d)
    if (d != down) planes.push_back(k.space[d]);

  const auto position = [&](const Access& a) { return strided({{"d", a.strides[down]}, {"a", a.strides[across]}}); };
  std::string members, stage, declare, call, stores;
  std::vector<graph::DType> types;
  for (std::size_t i = 0; i < k.reads.size(); ++i) {
    const Access& read = k.reads[i];
    types.push_back(read.type);
    const std::string type = memory_type(read.type);
    if (std::find(transposed.reads.begin(), transposed.reads.end(), i) == transposed.reads.end()) {
      call += fmt::format("{}{}", call.empty() ? "" : ", ", element_value(read, i, position(read), hooks.arguments));
      continue;
    }
    members += fmt::format("  {} x{}[kTile][kTile + 1];\n", type, i);
    stage += fmt::format("  tiles.x{}[a_in][d_in] = static_cast<const {}*>(arguments.at[{}])[at.x{}{}];\n", i, type,
                         hooks.arguments.input(read.buffer), i, position(read));
    const std::string staged = fmt::format("tiles.x{}[a_in][d_in]", i);
    call += fmt::format("{}{}", call.empty() ? "" : ", ",
                        read.type == graph::DType::boolean ? staged + " != 0" : fmt::format("value_of({})", staged));
  }
  for (std::size_t r = 0; r < k.writes.size(); ++r) {
    declare +=
        fmt::format("  {} z{};\n", value_type(k.expr.nodes[static_cast<std::size_t>(k.expr.results[r])].type), r);
    call += fmt::format(", z{}", r);
    stores +=
        "  " + element_store(k.writes[r], r, position(k.writes[r]), fmt::format("z{}", r), hooks.arguments) + "\n";
  }
  const std::string parameters =
      "const Arguments& arguments, const Place& at, {}Tiles& tiles, index_t d, index_t a, int d_in, int a_in";
  const std::string code = place_functions({reads, writes, -1}, planes) +
                           fmt::format("// One tile of each transposed operand.\nstruct Tiles {{\n{}}};\n", members) +
                           expression_function(k.expr, types) +
                           fmt::format(
                               "\n// Element d, a of a plane, which is d_in, a_in of its tile.\nKILN_DEVICE void "
                               "stage({}) {{\n{}}}\nKILN_DEVICE void finish({}) {{\n{}  "
                               "expression({});\n{}}}\n",
                               fmt::format(fmt::runtime(parameters), ""), stage,
                               fmt::format(fmt::runtime(parameters), "const "), declare, call, stores);
  hooks.code = arguments_struct(hooks.arguments) + code;
  return hooks;
}

}  // namespace kiln::agents::writer::device
