// Data movement: B is packed once per loaded plan when it is a weight, else before each run; its panels stream from the
// second level of cache as tiles of 1 KiB, each used twice per load. The rows of a task are copied into scratch in the
// tiles' order. Sums stay in tile registers for kc products; when k is longer, partial sums wait in scratch. While a
// panel of B is multiplied, the next one is fetched into the second level. The epilogue runs on a block that is still
// in the first level, so results are written once. The floor is 2 m n k over the tile unit's peak for bytes, twice that
// for bfloat16; the tiles' way from the second level of cache and, at small n, the copy of A limit it.
//
// Bytes of either sign on each side are multiplied as they are and summed in i32: the result is exact. The unit's
// wrappers: cpu/tiles.h, cpu/byte_tiles.h.

// ---- packing

// Lanes i of `count` are from[i * stride], others 0.
template <std::int64_t stride>
inline __m512i load_64(const ElementA* from, std::int64_t count) {
  if constexpr (stride == 1) return _mm512_maskz_loadu_epi8(count >= 64 ? ~0ull : (1ull << count) - 1, from);
  ElementA x[64] = {};
  for (std::int64_t i = 0; i < count && i < 64; ++i) x[i] = from[i * stride];
  return _mm512_loadu_si512(x);
}
template <std::int64_t stride>
inline __m128i load_16(const ElementB* from, std::int64_t count) {
  if constexpr (stride == 1) return _mm_maskz_loadu_epi8(first_lanes(count), from);
  ElementB x[16] = {};
  for (std::int64_t i = 0; i < count && i < 16; ++i) x[i] = from[i * stride];
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
}

// Copies one row of A into its lines of the tiles [depth][half][row].
inline void copy_row(const ElementA* row, Bytes* to) {
  for (std::int64_t p = 0; p < kK; p += kStepDeep, to += kStep)
    _mm512_storeu_si512(to, load_64<kAColumn>(row + p * kAColumn, kK - p));
}

// Columns in fours of rows p to p + 3, in tiles [depth][half][four][column].
inline void pack_columns(const ElementB* from, std::int64_t width, Bytes* to) {
  for (std::int64_t v = 0; v < 2; ++v) {
    const auto row = [&](std::int64_t p) {
      return p < kK ? load_16<kBColumn>(from + p * kBRow + v * kSide * kBColumn, width - v * kSide)
                    : _mm_setzero_si128();
    };
    for (std::int64_t p = 0; p < kSteps * kStepDeep; p += 4) {
      store_fours(row(p), row(p + 1), row(p + 2), row(p + 3),
                  to + p / kStepDeep * kStep + v * kTileBytes + p % kStepDeep / 4 * 64);
    }
  }
}

struct ByteProducts {
  static float pack_row(const ElementA* row, Bytes* to) {
    copy_row(row, to);
    return 0;  // no exponent
  }
  static void pack_panel(const ElementB* from, std::int64_t width, Bytes* to) { pack_columns(from, width, to); }
  static void add(const Bytes* a, const Bytes* b) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 64);
    _tile_loadd(7, b + kTileBytes, 64);
    add_upper<ElementA, ElementB>();
    if constexpr (kM > kSide) {  // else no pair has a second tile of rows
      _tile_loadd(5, a + kLower, 64);
      add_lower<ElementA, ElementB>();
    }
  }
  static auto value(const Matrices&, std::int64_t, float, const Bytes*, std::int64_t, const Sum* sums) {
    return load(sums);
  }
};

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) { multiply_blocks<ByteProducts>(args, task); }

extern "C" void KILN_PACK(void* const* args, const kiln_task* task) { pack_panels<ByteProducts>(args, task); }
