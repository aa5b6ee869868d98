// Inputs drawn where they are needed.

KILN_DEVICE i64 size_of(i64 type) {
  switch (type) {
    case type_f64: case type_i64: case type_u64: return 8;
    case type_f32: case type_i32: case type_u32: return 4;
    case type_f16: case type_bf16: case type_i16: case type_u16: return 2;
    default: return 1;
  }
}

// A number rounded to the type, as graph::store_double does it.
KILN_DEVICE void put_number(void* to, i64 type, i64 i, f64 x) {
  if (type >= type_i64) return put(to, type, i, type == type_bool ? static_cast<i64>(x != 0) : saturated(x, type));
  put(to, type, i, type == type_f16 ? nearest(x, 5, 10) : type == type_bf16 ? nearest(x, 8, 7) : x);
}

// Element `index` of what `given` describes, put at element `i` of `to`.
KILN_CALL void draw_one(const DrawArguments& given, i64 index, void* to, i64 i) {
  const kiln::targets::draw::Words words(static_cast<u64>(given.key), static_cast<u64>(index));
  if (given.type >= type_i64)
    return put_number(to, given.type, i,
                      static_cast<f64>(kiln::targets::draw::drawn_index(words, given.low, given.high)));
  put_number(to, given.type, i, kiln::targets::draw::drawn(words, given.family, given.tiny));
  if (given.power != 0)
    put_number(to, given.type, i, ldexp(element<f64>(to, given.type, i), static_cast<int>(given.power)));
}

namespace draw_kernels {
using Arguments = DrawArguments;
KILN_ENTRY(draw) {
  for (i64 i = first_index(); i < arguments.count; i += index_step()) draw_one(arguments, i, arguments.to, i);
}
}  // namespace draw_kernels

KILN_DEVICE bool same_bits(const void* a, i64 i, const void* b, i64 j, i64 size) {
  switch (size) {
    case 8: return static_cast<const u64*>(a)[i] == static_cast<const u64*>(b)[j];
    case 4: return static_cast<const u32*>(a)[i] == static_cast<const u32*>(b)[j];
    case 2: return static_cast<const u16*>(a)[i] == static_cast<const u16*>(b)[j];
    default: return static_cast<const unsigned char*>(a)[i] == static_cast<const unsigned char*>(b)[j];
  }
}

namespace redraw_kernels {
using Arguments = RedrawArguments;
KILN_DENSE_ENTRY(redraw) {
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    i64 first = -1;
    for (i64 i = lane; i < arguments.draw.count && first < 0; i += arguments.lanes) {
      u64 drawn = 0;
      draw_one(arguments.draw, i, &drawn, 0);
      if (!same_bits(arguments.found, i, &drawn, 0, size_of(arguments.draw.type))) first = i;
    }
    arguments.first[lane] = first;
  }
}
}  // namespace redraw_kernels

// IEEE formats count up as integers do; zero is exact.
template <class Bits>
KILN_DEVICE void nudge(Bits* at, bool away) {
  constexpr Bits magnitude = static_cast<Bits>(~(Bits(1) << (8 * sizeof(Bits) - 1)));
  if ((*at & magnitude) != 0) *at = static_cast<Bits>(away ? *at + 1 : *at - 1);
}
namespace nudge_kernels {
using Arguments = NudgeArguments;
KILN_ENTRY(nudge_elements) {
  for (i64 i = first_index(); i < arguments.count; i += index_step()) {
    const u64 random = kiln::targets::draw::mixed(static_cast<u64>(arguments.seed) +
                                                  static_cast<u64>(i) * kiln::targets::draw::kStep);
    const f64 x = element<f64>(arguments.at, arguments.type, i);
    if (random % 4 != 0 || x - x != 0) continue;
    const bool away = (random & 4) != 0;
    switch (size_of(arguments.type)) {
      case 8: nudge(static_cast<u64*>(arguments.at) + i, away); break;
      case 4: nudge(static_cast<u32*>(arguments.at) + i, away); break;
      default: nudge(static_cast<u16*>(arguments.at) + i, away); break;
    }
  }
}
}  // namespace nudge_kernels
