// Data movement: B is packed once per loaded plan when it is a weight, else before each run; its panels stream from the
// second level of cache as tiles of 1 KiB, each used twice per load. The rows of a task are copied into scratch in the
// tiles' order. Sums stay in tile registers for kc products; when k is longer, partial sums wait in scratch. While a
// panel of B is multiplied, the next one is fetched into the second level. The epilogue runs on a block that is still
// in the first level, so results are written once. The floor is 2 m n k over the tile unit's peak for bytes, twice that
// for bfloat16; the tiles' way from the second level of cache and, at small n, the copy of A limit it.
//
// Bytes of either sign on each side are multiplied as they are and summed in i32: the result is exact. The unit's
// wrappers: cpu/tiles.h, cpu/byte_tiles.h.

constexpr std::int64_t kBytesDeep = 64;            // products in a tile of rows or columns
constexpr std::int64_t kTwoTiles = 2 * kTileBytes;  // 32 rows or columns, 64 deep
constexpr std::int64_t kDepthTiles = (kK + kBytesDeep - 1) / kBytesDeep;
constexpr std::int64_t kPanelBytes = kDepthTiles * kTwoTiles;
constexpr bool kLower = kM > kSide;  // whether any pair has a second tile of rows

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
inline void pack_row(const ElementA* row, Bytes* to) {
  for (std::int64_t p = 0; p < kK; p += kBytesDeep, to += kTwoTiles)
    _mm512_storeu_si512(to, load_64<kAColumn>(row + p * kAColumn, kK - p));
}

// Columns in fours of rows p to p + 3, in tiles [depth][half][four][column].
inline void pack_panel(const ElementB* from, std::int64_t width, Bytes* to) {
  for (std::int64_t v = 0; v < 2; ++v) {
    const auto row = [&](std::int64_t p) {
      return p < kK ? load_16<kBColumn>(from + p * kBRow + v * kSide * kBColumn, width - v * kSide)
                    : _mm_setzero_si128();
    };
    for (std::int64_t p = 0; p < kDepthTiles * kBytesDeep; p += 4) {
      store_fours(row(p), row(p + 1), row(p + 2), row(p + 3),
                  to + p / kBytesDeep * kTwoTiles + v * kTileBytes + p % kBytesDeep / 4 * 64);
    }
  }
}

// ---- products

// sums (+)= `depth` tiles of products of 32 rows and 32 columns. `ahead`: where this call's share of the next panel
// begins, `lines` of it per tile; past the end of B nothing is fetched. Sums are i32, moved as any four bytes.
__attribute__((noinline)) void multiply(const Bytes* a, const Bytes* b, std::int64_t depth, bool first, float* sums,
                                        const Bytes* ahead, std::int64_t lines) {
  if (first) zero_sums();
  else load_sums(sums);
  for (std::int64_t t = 0; t < depth; ++t, a += kTwoTiles, b += kTwoTiles) {
    for (std::int64_t i = 0; i < lines; ++i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 64);
    _tile_loadd(7, b + kTileBytes, 64);
    add_upper<ElementA, ElementB>();
    if constexpr (kLower) {
      _tile_loadd(5, a + kTileBytes, 64);
      add_lower<ElementA, ElementB>();
    }
  }
  store_sums(sums);
}

// ---- a task

// The epilogue of one row of a block of sums.
template <int columns>
inline void finish_row(const Matrices& at, std::int64_t row, std::int64_t column, const Sum* sums) {
  if constexpr (columns < kLanes) {
    finish<columns>(at, row, column, load(sums));
  } else {
    finish<kLanes>(at, row, column, load(sums));
    if constexpr (columns > kLanes) finish<columns - kLanes>(at, row, column + kLanes, load(sums + kLanes));
  }
}

inline void finish_block(const Matrices& at, std::int64_t row, std::int64_t panel, const Sum* sums) {
  const std::int64_t rows = kM - row < 2 * kSide ? kM - row : 2 * kSide;
  for (std::int64_t i = 0; i < rows; ++i, sums += kNr) {
    if (kTailColumns == kNr || panel + 1 < kPanels) finish_row<kNr>(at, row + i, panel * kNr, sums);
    else finish_row<kTailColumns>(at, row + i, panel * kNr, sums);
  }
}

// Products p0 .. p1, in tiles, of all the task's blocks; `a` is [pair][depth] of two tiles, `sums` one block, or all
// when k is cut.
inline void depth_block(const Matrices& at, const Block& block, std::int64_t p0, std::int64_t p1, const Bytes* a,
                        Sum* sums) {
  const std::int64_t pairs = block.pair_end - block.pair_begin;
  const std::int64_t lines = (kTwoTiles / 64 + pairs - 1) / pairs;  // of the next panel, per tile of each pair
  for (std::int64_t panel = block.panel_begin; panel < block.panel_end; ++panel) {
    const Bytes* b = reinterpret_cast<const Bytes*>(at.b) + panel * kPanelBytes;
    for (std::int64_t i = 0; i < pairs; ++i) {
      Sum* own = kDepthBlocks > 1 ? sums + ((panel - block.panel_begin) * pairs + i) * 2 * kSide * kNr : sums;
      const Bytes* ahead = b + kPanelBytes + p0 * kTwoTiles + i * (p1 - p0) * lines * 64;
      multiply(a + (i * kDepthTiles + p0) * kTwoTiles, b + p0 * kTwoTiles, p1 - p0, p0 == 0,
               reinterpret_cast<float*>(own), ahead, lines);
      if (p1 == kDepthTiles) finish_block(at, (block.pair_begin + i) * 2 * kSide, panel, own);
    }
  }
}

inline void pack_rows(const Matrices& at, const Block& block, Bytes* to) {
  const std::int64_t begin = block.pair_begin * 2 * kSide,
                     end = block.pair_end * 2 * kSide < kM ? block.pair_end * 2 * kSide : kM;
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t i = row - begin;
    pack_row(at.a + row * kARow,
             to + i / (2 * kSide) * kDepthTiles * kTwoTiles + i / kSide % 2 * kTileBytes + i % kSide * 64);
  }
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const Matrices at = matrices_at(args, task->index / (kRowBlocks * kColumnBlocks));
  const Block block = block_of(task->index);
  Bytes* a = static_cast<Bytes*>(task->scratch);
  Sum* sums = reinterpret_cast<Sum*>(a + kMostPairs * kDepthTiles * kTwoTiles);
  pack_rows(at, block, a);
  const TileShapes shapes;
  _tile_loadconfig(&shapes);
  constexpr std::int64_t kDepthStep = (kDepthTiles + kDepthBlocks - 1) / kDepthBlocks;
  for (std::int64_t p = 0; p < kDepthTiles; p += kDepthStep)
    depth_block(at, block, p, p + kDepthStep < kDepthTiles ? p + kDepthStep : kDepthTiles, a, sums);
  _tile_release();
}

// One panel of every distinct B.
extern "C" void KILN_PACK(void* const* args, const kiln_task* task) {
  const std::int64_t column = task->index * kNr, width = kN - column < kNr ? kN - column : kNr;
  for (std::int64_t matrix = 0; matrix < kPackedMatrices; ++matrix)
    pack_panel(unpacked_b(args, matrix) + column * kBColumn, width,
               reinterpret_cast<Bytes*>(packed_b(args, matrix)) + task->index * kPanelBytes);
}
