// Products of bytes on the tile unit, summed in i32, which wraps (Intel SDM, TDPBUSD and its kin): exact. A tile of
// rows or columns is 64 products deep, columns in fours of rows. After tiles.h, whose numbers of tiles these are.

// Products of the upper rows, by the signs of both sides: the numbers of tiles must be written out.
template <class A, class B, bool signed_a = std::is_signed_v<A>, bool signed_b = std::is_signed_v<B>>
inline void add_upper() {
  if constexpr (signed_a && signed_b) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
  } else if constexpr (signed_a) {
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
  } else if constexpr (signed_b) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
  } else {
    _tile_dpbuud(0, 4, 6);
    _tile_dpbuud(1, 4, 7);
  }
}
// Of the lower rows.
template <class A, class B, bool signed_a = std::is_signed_v<A>, bool signed_b = std::is_signed_v<B>>
inline void add_lower() {
  if constexpr (signed_a && signed_b) {
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  } else if constexpr (signed_a) {
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  } else if constexpr (signed_b) {
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  } else {
    _tile_dpbuud(2, 5, 6);
    _tile_dpbuud(3, 5, 7);
  }
}

// Rows p to p + 3 of 16 columns in fours: a line of the tile of columns.
inline void store_fours(__m128i a, __m128i b, __m128i c, __m128i d, Bytes* to) {
  const __m128i ab[2] = {_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)},
                cd[2] = {_mm_unpacklo_epi8(c, d), _mm_unpackhi_epi8(c, d)};
  auto* line = reinterpret_cast<__m128i*>(to);
  for (int half = 0; half < 2; ++half) {
    _mm_storeu_si128(line + 2 * half, _mm_unpacklo_epi16(ab[half], cd[half]));
    _mm_storeu_si128(line + 2 * half + 1, _mm_unpackhi_epi16(ab[half], cd[half]));
  }
}
