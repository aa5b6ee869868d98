// Hooks of the convolution family: where the taps of a window lie in the padded copy of x and in w, how a channel of x
// is copied, and finish(): one vector of the epilogue.
#include <fmt/format.h>

#include <algorithm>

#include "agents/region/padded_layout.h"
#include "agents/writer/family.h"

namespace kiln::agents::writer {

using graph::DType;

namespace {

// What precedes the spatial strides of x and of a result: image, group, channel; of w: group, channel out, channel in.
constexpr std::size_t kFixed = 3;

// What the templates share: the padded copy of x, and the last results of a row.
constexpr const char* kPadding = R"kiln(
constexpr std::int64_t kPitch = kPitches[kRank - 1], kWidth = kOut[kRank - 1];
constexpr int kJoined = static_cast<int>(kOutPhases[kRank - 1]);  // phases along the innermost dimension
constexpr std::int64_t kAllPhases = sizeof kPhaseTaps / sizeof kPhaseTaps[0] - 1;

// Of one line of the padded form, whose element q is x[q * stride - shift], zero outside [first, end).
struct Inside {
  std::int64_t shift, first, end;
};
inline Inside inside_line(std::int64_t phase) {
  constexpr std::size_t last = kRank - 1;
  const std::int64_t shift = kBefore[last] - phase;
  std::int64_t first = shift > 0 ? (shift + kStrides[last] - 1) / kStrides[last] : 0;
  std::int64_t end = kIn[last] + shift > 0 ? (kIn[last] + shift - 1) / kStrides[last] + 1 : 0;
  if (end > kPitch) end = kPitch;
  if (first > end) first = end;
  return {shift, first, end};
}

// Element q is what `element` makes of that offset in x.
template <class Element>
inline void pad_line(Sum* to, std::int64_t phase, Element element) {
  const Inside at = inside_line(phase);
  for (std::int64_t q = 0; q < at.first; ++q) to[q] = 0;
  for (std::int64_t q = at.first; q < at.end; ++q)
    to[q] = element((q * kStrides[kRank - 1] - at.shift) * kXStrides[kRank - 1]);
  for (std::int64_t q = at.end; q < kPitch; ++q) to[q] = 0;
}

// Row `row` of a phase of the padded form: whether it holds elements of x, and where its line of x begins.
struct Line {
  bool inside;
  std::int64_t offset;
};
inline Line line_of(std::int64_t phase, std::int64_t row) {
  Line line = {true, 0};
  phase /= kPhases[kRank - 1];
  for (int d = kRank - 2; d >= 0; --d) {
    const std::int64_t place = row % kPitches[d] * kStrides[d] + phase % kPhases[d] - kBefore[d];
    row /= kPitches[d];
    phase /= kPhases[d];
    line.inside = line.inside && place >= 0 && place < kIn[d];
    line.offset += place * kXStrides[d];
  }
  return line;
}

// The padded form of what `element` makes of each offset in a channel of x.
template <class Element>
inline void pad_channel(Sum* to, Element element) {
  std::int64_t phases = 1;
  for (int d = 0; d < kRank; ++d) phases *= kPhases[d];
  for (std::int64_t phase = 0; phase < phases; ++phase)
    for (std::int64_t row = 0; row < kPlane / kPitch; ++row) {
      const Line of = line_of(phase, row);
      Sum* line = to + phase * kPlane + row * kPitch;
      if (of.inside)
        pad_line(line, phase % kPhases[kRank - 1], [&](std::int64_t at) { return element(of.offset + at); });
      else
        for (std::int64_t q = 0; q < kPitch; ++q) line[q] = 0;
    }
}
inline void pad_channel(const ElementX* x, Sum* to) {
  pad_channel(to, [x](std::int64_t at) { return static_cast<Sum>(x[at]); });
}
)kiln";
constexpr const char* kRest = R"kiln(
// What is left of a row, in vectors of half the size each.
template <int count>
inline void finish_rest(const Output& at, std::int64_t j, std::int64_t left, const Sum* sums) {
  if constexpr (count > 0) {
    if (left >= count) {
      finish<count>(at, j, load<count>(sums));
      finish_rest<count / 2>(at, j + count, left - count, sums + count);
    } else {
      finish_rest<count / 2>(at, j, left, sums);
    }
  }
}

// Results first .. first + count of a channel all of whose results lie in a row. The last vector reaches back to
// results that are there already and come out the same.
inline void finish_flat(const Output& at, std::int64_t first, std::int64_t count, const Sum* sums) {
  std::int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) finish<kLanes>(at, first + j, load<kLanes>(sums + j));
  if (j == count) return;
  if (count > kLanes) finish<kLanes>(at, first + count - kLanes, load<kLanes>(sums + count - kLanes));
  else finish_rest<kLanes / 2>(at, first, count, sums);
}

// The result that a row of positions begins with.
inline std::int64_t first_result(std::int64_t row) {
  std::int64_t result = 0, below = kWidth;
  for (int d = kRank - 2; d >= 0; --d) {
    result += row % kPitches[d] * below;
    row /= kPitches[d];
    below *= kOut[d];
  }
  return result;
}

// Sums of kJoined phases, `apart` of them apart, as neighbours.
inline const Sum* joined(const Sum* sums, [[maybe_unused]] std::int64_t count, [[maybe_unused]] std::int64_t apart,
                           [[maybe_unused]] Sum* to) {
  if constexpr (kJoined == 1) return sums;
  for (std::int64_t q = 0; q < count; ++q)
    for (std::int64_t phase = 0; phase < kJoined; ++phase) to[q * kJoined + phase] = sums[phase * apart + q];
  return to;
}

// The results of one channel among the positions [first, first + count); `phase` is that of the outer dimensions. Sums
// of the phases along a row are `apart` of them apart; up to kLanes behind them are read. `room` is for
// count * kJoined + kLanes of them.
inline void finish_positions(void* const* args, std::int64_t image, std::int64_t group, std::int64_t m,
                             std::int64_t first, std::int64_t count, std::int64_t phase, const Sum* sums,
                             std::int64_t apart, Sum* room) {
  const std::int64_t end = first + count < kPositions ? first + count : kPositions;
  if constexpr (kFlat && kPositions == kResults) {  // every position is a result
    finish_flat(output_at(args, image, group, m, 0, phase), first, end - first, sums);
    return;
  }
  if constexpr (!kFlat) sums = joined(sums, count, apart, room);
  std::int64_t begin = 0, found = 0;  // results without the positions between rows
  for (std::int64_t at = first; at < end;) {
    const std::int64_t row = at / kPitch, last = (row + 1) * kPitch < end ? (row + 1) * kPitch : end;
    const std::int64_t stop = (last - row * kPitch) * kJoined < kWidth ? (last - row * kPitch) * kJoined : kWidth;
    const Sum* of_row = sums + (row * kPitch - first) * kJoined;  // of result 0 of the row
    std::int64_t j = (at - row * kPitch) * kJoined;
    at = last;
    if (j >= stop || !is_row(row, phase)) continue;
    if constexpr (kFlat) {
      if (found == 0) begin = first_result(row) + j;
      for (std::int64_t i = 0; i < stop - j; i += kLanes)
        store<kLanes>(room + found + i, load<kLanes>(of_row + j + i));
      found += stop - j;
    } else {
      const Output out = output_at(args, image, group, m, row, phase);
      for (; j + kLanes <= stop; j += kLanes) finish<kLanes>(out, j, load<kLanes>(of_row + j));
      finish_rest<kLanes / 2>(out, j, stop - j, of_row + j);
    }
  }
  if constexpr (kFlat)
    if (found > 0) finish_flat(output_at(args, image, group, m, 0, phase), begin, found, room);
}
)kiln";

bool usable(const Access& a) { return is_lane_type(a.type) || is_lane_integer(a.type); }

bool is_byte(DType type) { return type == DType::i8 || type == DType::u8; }

// Sums of integers, of bytes or of i32, are exact in i32, which wraps.
bool is_sum_of_integers(const ConvolutionKernel& k) {
  return (is_byte(k.x.type) && is_byte(k.w.type)) || (k.x.type == DType::i32 && k.w.type == DType::i32);
}
bool is_sum_of_floats(const ConvolutionKernel& k) {
  return k.x.type == k.w.type && is_lane_type(k.x.type) && k.x.type != DType::boolean;
}
DType sum_type(const ConvolutionKernel& k) { return is_sum_of_integers(k) ? DType::i32 : DType::f32; }

std::string list(const graph::Shape& values) {
  std::string text;
  for (const std::int64_t v : values) text += (text.empty() ? "" : ", ") + std::to_string(v);
  return text;
}

std::string table(std::string_view name, const graph::Shape& values, std::string_view meaning) {
  return fmt::format("constexpr std::int64_t {}[] = {{{}}};  // {}\n", name, list(values), meaning);
}

graph::Shape spatial(const Access& a) {
  return {a.strides.begin() + static_cast<std::ptrdiff_t>(kFixed), a.strides.end()};
}

bool packs_weights(const store::TemplateSpec& spec) { return spec.geometry.contains("prepared_bytes"); }

// The offset of element t of the layout's window, row-major, in w.
std::int64_t weight_offset(const ConvolutionKernel& k, const PaddedLayout& layout, std::int64_t t) {
  std::int64_t at = 0;
  for (std::size_t d = layout.window.size(); d-- > 0;) {
    at += t % layout.window[d] * k.w.strides[kFixed + d];
    t /= layout.window[d];
  }
  return at;
}

// Whether all results of a channel lie in a row, and what the epilogue reads beside them too.
bool is_flat(const ConvolutionKernel& k, const PaddedLayout& layout) {
  const auto in_a_row = [&](const Access& a) {
    for (std::size_t d = 0; d + 1 < k.out.size(); ++d)
      if (a.strides[kFixed + d] != a.strides[kFixed + d + 1] * k.out[d + 1]) return false;
    return true;
  };
  return graph::element_count(layout.out_phases) == 1 && std::all_of(k.reads.begin(), k.reads.end(), in_a_row) &&
         std::all_of(k.writes.begin(), k.writes.end(), in_a_row);
}

std::string tap_tables(const ConvolutionKernel& k, const PaddedLayout& layout) {
  graph::Shape input, weight;
  for (const PaddedLayout::Tap& tap : layout.taps) {
    input.push_back(tap.input);
    weight.push_back(weight_offset(k, layout, tap.window));
  }
  return table("kTapInput", input, "offsets of the taps in a padded channel, by phase of the results") +
         table("kTapWeight", weight, "and in w") +
         table("kPhaseTaps", layout.phase_begin, "the first tap of each phase, and the end");
}

// The index of a result along an outer dimension, where results come in phases: o0 -> p0.
std::string in_phase(const PaddedLayout& layout, std::size_t d, std::string& index) {
  std::int64_t below = 1;
  for (std::size_t inner = d + 1; inner + 1 < layout.out_phases.size(); ++inner) below *= layout.out_phases[inner];
  std::string text = fmt::format("  [[maybe_unused]] const std::int64_t p{} = {} * {} + phase / {} % {};\n", d, index,
                                 layout.out_phases[d], below, layout.out_phases[d]);
  index = fmt::format("p{}", d);
  return text;
}

// struct Output and output_at(): pointers to the row of results at (image, group, m) and `row` of the outer dimensions,
// in their phase.
std::string output_functions(const ConvolutionKernel& k, const PaddedLayout& layout, Hooks& hooks) {
  graph::Shape rows(layout.pitches.begin(), layout.pitches.end() - 1);
  if (!rows.empty()) rows[0] = layout.extents[0];
  Decomposed at = decompose("row", rows, "o", "  [[maybe_unused]] ");
  std::string inside;
  for (std::size_t d = 0; d < rows.size(); ++d) {
    if (layout.out_phases[d] > 1) at.statements += in_phase(layout, d, at.indices[d]);
    if (rows[d] * layout.out_phases[d] != k.out[d])
      inside += fmt::format("{}{} < {}", inside.empty() ? "" : " && ", at.indices[d], k.out[d]);
  }
  std::vector<std::string> indices = {"image", "group", "m"};
  indices.insert(indices.end(), at.indices.begin(), at.indices.end());
  std::string members, values;
  const auto add = [&](const char* type, const std::string& name, const std::string& base, const Access& a) {
    members += fmt::format("  {}{}* {};\n", type, memory_type(a.type), name);
    values += fmt::format("{}{} + ({})", values.empty() ? "" : ",\n         ", base, offset_text(a, indices));
  };
  for (std::size_t i = 0; i < k.reads.size(); ++i)
    add("const ", fmt::format("x{}", i + 1), hooks.arguments.read(k.reads[i]), k.reads[i]);
  for (std::size_t r = 0; r < k.writes.size(); ++r)
    add("", fmt::format("y{}", r), hooks.arguments.write(k.writes[r]), k.writes[r]);
  return fmt::format(
      "// Where a row of results begins, and whether it is one: the padding has rows too.\nstruct Output {{\n{}}};\n\n"
      "inline Output output_at(void* const* args, [[maybe_unused]] std::int64_t image, [[maybe_unused]] std::int64_t "
      "group,\n                        [[maybe_unused]] std::int64_t m, [[maybe_unused]] std::int64_t row,\n"
      "                        [[maybe_unused]] std::int64_t phase) {{\n{}  return {{{}}};\n}}\n\n"
      "inline bool is_row([[maybe_unused]] std::int64_t row, [[maybe_unused]] std::int64_t phase) {{\n{}  return "
      "{};\n}}\n\n",
      members, at.statements, values, inside.empty() ? "" : at.statements, inside.empty() ? "true" : inside);
}

}  // namespace

bool accepts_convolution(const store::TemplateSpec& spec, const ConvolutionKernel& k) {
  if (packs_weights(spec) && !k.w_is_weight) return false;
  if (k.out.empty() || k.m < 1 || k.c < 1 || !(is_sum_of_integers(k) || is_sum_of_floats(k))) return false;
  if (!std::all_of(k.reads.begin(), k.reads.end(), usable) || !std::all_of(k.writes.begin(), k.writes.end(), usable) ||
      !vectorizable_with_integers(k.epilogue))
    return false;
  if (spec.name == "amx") return k.x.type == DType::f32 || k.x.type == DType::bf16;
  if (spec.name == "amx_int8") return is_byte(k.x.type);
  if (spec.name == "avx512_vnni") return is_byte(k.x.type) && k.w.type == DType::i8;
  return spec.name != "channels" || is_sum_of_floats(k);
}

Hooks convolution_hooks(const store::TemplateSpec& spec, const ConvolutionKernel& k, const Tunables& tunables) {
  Hooks hooks;
  const auto fold = tunables.find("fold");
  const PaddedLayout layout(k, fold != tunables.end() && fold->second != 0);
  hooks.functions = operations(k.epilogue);
  const bool integers = is_sum_of_integers(k);
  hooks.integers = integers || !vectorizable(k.epilogue) || !are_lanes(k.reads) || !are_lanes(k.writes);
  hooks.half = is_half(k.x.type) || any_half(k.reads) || any_half(k.writes);
  hooks.figures = constant("kImages", k.n) + constant("kGroups", k.groups) +
                  constant("kM", k.m, "results of a group, each a channel") +
                  constant("kC", k.c, "channels of x in a group") +
                  constant("kRank", static_cast<std::int64_t>(k.out.size()), "spatial dimensions") +
                  constant("kTaps", graph::element_count(k.window), "elements of a window") +
                  table("kIn", k.in, "extents of x") + table("kOut", k.out, "extents of the result") +
                  table("kXStrides", spatial(k.x), "of x") +
                  table("kStrides", layout.strides, "of the window over the padded input") +
                  table("kBefore", layout.before, "zeros before the first of them; less than 0: cut off") +
                  table("kPhases", layout.phases, "per dimension") + table("kPitches", layout.pitches, "of a phase") +
                  constant("kPlane", layout.plane, "elements of a phase") +
                  constant("kChannel", layout.channel, "elements of all phases") +
                  constant("kExtent", layout.extents.back(), "results of a phase along the innermost dimension") +
                  constant("kLines", layout.lines(), "rows of results of a phase, those of the padding among them") +
                  constant("kPositions", layout.positions, "from the first to the last of a phase of the results") +
                  constant("kResults", graph::element_count(k.out), "of a channel") +
                  fmt::format("constexpr bool kFlat = {};  // all in a row\n", is_flat(k, layout)) +
                  table("kOutPhases", layout.out_phases, "of the results, per dimension") +
                  tap_tables(k, layout) + constant("kWM", k.w.strides[1], "strides of w") +
                  constant("kWC", k.w.strides[2]) +
                  constant("kWTap", k.w.strides.back(), "of the innermost dimension of the window") +
                  constant("kWindowWidth", k.window.back(), "elements of the window along it") +
                  constant("kTapStep", k.steps.dilations.back(), "between them in the padded input");
  hooks.code = fmt::format(
      "using ElementX = {};\nusing ElementW = {};\nusing Sum = {};   // of products\n"
      "using Sums = {};  // a vector of them\n",
      memory_type(k.x.type), memory_type(k.w.type), integers ? "std::uint32_t" : "float", integers ? "vs" : "vf");
  hooks.code += fmt::format(
      "inline const ElementX* channel_of_x(void* const* args, [[maybe_unused]] std::int64_t image, [[maybe_unused]] "
      "std::int64_t group,\n                                 [[maybe_unused]] std::int64_t c) {{\n  return {} + "
      "({});\n}}\n",
      hooks.prepare_arguments.read(k.x), offset_text(k.x, {"image", "group", "c"}));
  hooks.code += fmt::format(
      "inline Sum* padded_to(void* const* args) {{ return static_cast<Sum*>(args[{}]); }}\n"
      "inline const Sum* padded(void* const* args) {{ return static_cast<const Sum*>(args[{}]); }}\n",
      hooks.prepare_arguments.of(RenderedArg::Kind::temporary, 0), hooks.arguments.of(RenderedArg::Kind::temporary, 0));
  Arguments& reads_weights = packs_weights(spec) ? hooks.weight_arguments : hooks.arguments;
  hooks.code += fmt::format(
      "inline const ElementW* weights(void* const* args, [[maybe_unused]] std::int64_t group) {{\n  return {} + "
      "({});\n}}\n",
      reads_weights.read(k.w), offset_text(k.w, {"group"}));
  if (packs_weights(spec))
    hooks.code += fmt::format(
        "inline Sum* packed_weights_to(void* const* args) {{ return static_cast<Sum*>(args[{}]); }}\n"
        "inline const Sum* packed_weights(void* const* args) {{ return static_cast<const Sum*>(args[{}]); }}\n",
        hooks.weight_arguments.of(RenderedArg::Kind::prepared, 0),
        hooks.arguments.of(RenderedArg::Kind::prepared, 0));
  hooks.code += kPadding;
  hooks.code += "\n";
  hooks.code += output_functions(k, layout, hooks);
  std::vector<DType> types = {sum_type(k)};
  std::string declare, call = "x0";
  for (std::size_t i = 0; i < k.reads.size(); ++i) {
    types.push_back(k.reads[i].type);
    call += fmt::format(", x{}", i + 1);
  }
  for (std::size_t r = 0; r < k.writes.size(); ++r) {
    declare += fmt::format("  {} y{};\n", value_type(k.writes[r].type, Form::vector), r);
    call += fmt::format(", y{}", r);
  }
  const std::size_t inner = kFixed + k.out.size() - 1;
  hooks.code += expression_function(k.epilogue, Form::vector, types);
  hooks.code += fmt::format(
      "\n// The epilogue of results j .. j + count of a row, from their sums.\ntemplate <int count>\n"
      "inline void finish(const Output& at, [[maybe_unused]] std::int64_t j, Sums sums) {{\n"
      "  const auto x0 = ({})sums;\n{}{}  expression({});\n{}}}\n",
      value_type(sum_type(k), Form::vector), load_statements(k.reads, inner, Form::vector, 1, "  "), declare, call,
      store_statements(k.writes, inner, Form::vector, "  "));
  hooks.code += kRest;
  return hooks;
}

}  // namespace kiln::agents::writer
