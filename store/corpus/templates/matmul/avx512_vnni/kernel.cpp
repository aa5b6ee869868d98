// Data movement: B is packed once per loaded plan when it is a weight, else before each run, in panels of fours of
// rows; a panel is used by all row tiles of the task from the first or second level of cache. The rows of a task are
// copied into scratch in the order of use and broadcast from there, four elements at a time. Sums stay in registers
// over all of k, the epilogue runs on a tile in the first level, results are written once. The floor is 2 m n k over
// four times the rate of multiply-adds of one vector in float32 (an instruction has four products to a lane); the
// broadcasts of A limit it where tiles are low.
//
// The instruction multiplies unsigned by signed bytes and wraps in i32 (Intel SDM, VPDPBUSD), so the result is exact. A
// signed A is moved by 128, and what that adds, 128 times the sum of each column of B, is taken off.

constexpr bool kSignedA = std::is_signed_v<ElementA>;
constexpr std::int64_t kFours = (kK + 3) / 4;
constexpr std::int64_t kPanelSize = (kFours + 1) * kNr;  // and a row of 128 times the columns' sums
constexpr std::int64_t kRowTiles = (kM + kMr - 1) / kMr;
constexpr int kTall = static_cast<int>((kM + kRowTiles - 1) / kRowTiles);
constexpr int kShort = static_cast<int>(kM / kRowTiles);
constexpr std::int64_t kRowBlocks = (kM + kMc - 1) / kMc;
constexpr std::int64_t kColumnBlocks = (kN + kNc - 1) / kNc;
constexpr int kTailColumns = static_cast<int>(kN - (kPanels - 1) * kNr);  // of the last panel
constexpr int kTailVectors = (kTailColumns + kLanes - 1) / kLanes;

// Four bytes of a row or column, `stride` apart; past `count` they are 0.
template <std::int64_t stride, class Element>
inline std::uint32_t four(const Element* from, std::int64_t count) {
  std::uint32_t x = 0;
  if constexpr (stride == 1)
    if (count >= 4) {
      __builtin_memcpy(&x, from, 4);
      return x;
    }
  for (std::int64_t q = 0; q < 4 && q < count; ++q)
    x |= std::uint32_t{static_cast<std::uint8_t>(from[q * stride])} << (8 * q);
  return x;
}

// tile[i][v] = sum over p of a[p, i] * b[p, v], each of them four bytes.
template <int rows, int vectors>
__attribute__((noinline)) void multiply(const Sum* a, const Sum* b, Sum* tile) {
  __m512i sum[rows][vectors];
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = _mm512_setzero_si512();
  for (std::int64_t p = 0; p < kFours; ++p) {
    __m512i column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) column[v] = _mm512_loadu_si512(b + p * kNr + v * kLanes);
#pragma GCC unroll 32
    for (int i = 0; i < rows; ++i) {
      const __m512i row = _mm512_set1_epi32(static_cast<int>(a[p * kTall + i]));
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v] = _mm512_dpbusd_epi32(sum[i][v], row, column[v]);
    }
  }
  const Sum* moved = b + kFours * kNr;
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      if constexpr (kSignedA) sum[i][v] = _mm512_sub_epi32(sum[i][v], _mm512_loadu_si512(moved + v * kLanes));
      _mm512_storeu_si512(tile + i * kNr + v * kLanes, sum[i][v]);
    }
}

template <int columns>
inline void panel_tile(const Matrices& at, std::int64_t row, int rows, std::int64_t column, const Sum* a, const Sum* b,
                       Sum* tile) {
  constexpr int vectors = (columns + kLanes - 1) / kLanes;
  if (rows == kTall) multiply<kTall, vectors>(a, b, tile);
  else multiply<kShort, vectors>(a, b, tile);
  for (int i = 0; i < rows; ++i) {
    int j = 0;
    for (; j + kLanes <= columns; j += kLanes) finish<kLanes>(at, row + i, column + j, load(tile + i * kNr + j));
    if constexpr (columns % kLanes != 0) finish<columns % kLanes>(at, row + i, column + j, load(tile + i * kNr + j));
  }
}

// Rows row .. row + rows as [four][kTall], moved into the unsigned range.
inline void pack_tile(const ElementA* a, std::int64_t row, int rows, Sum* to) {
  for (int i = 0; i < rows; ++i)
    for (std::int64_t p = 0; p < kFours; ++p)
      to[p * kTall + i] = four<kAColumn>(a + (row + i) * kARow + 4 * p * kAColumn, kK - 4 * p) ^
                          (kSignedA ? 0x80808080u : 0u);
}

// Dealt evenly: where part `i` of `parts` of `count` begins.
inline std::int64_t part(std::int64_t count, std::int64_t parts, std::int64_t i) { return count * i / parts; }

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const Matrices at = matrices_at(args, task->index / (kRowBlocks * kColumnBlocks));
  const std::int64_t row_block = task->index / kColumnBlocks % kRowBlocks, column_block = task->index % kColumnBlocks;
  Sum* tile = static_cast<Sum*>(task->scratch);
  Sum* packed = tile + kTall * kNr;
  for (std::int64_t t = part(kRowTiles, kRowBlocks, row_block); t < part(kRowTiles, kRowBlocks, row_block + 1); ++t) {
    const std::int64_t row = part(kM, kRowTiles, t);
    const int rows = static_cast<int>(part(kM, kRowTiles, t + 1) - row);
    pack_tile(at.a, row, rows, packed);
    for (std::int64_t panel = part(kPanels, kColumnBlocks, column_block);
         panel < part(kPanels, kColumnBlocks, column_block + 1); ++panel) {
      const Sum* b = at.b + panel * kPanelSize;
      if (kTailColumns == kNr || panel + 1 < kPanels) panel_tile<kNr>(at, row, rows, panel * kNr, packed, b, tile);
      else panel_tile<kTailColumns>(at, row, rows, panel * kNr, packed, b, tile);
    }
  }
}

// One panel of every distinct B; columns past n are zero.
extern "C" void KILN_PACK(void* const* args, const kiln_task* task) {
  const std::int64_t column = task->index * kNr, width = kN - column < kNr ? kN - column : kNr;
  for (std::int64_t matrix = 0; matrix < kPackedMatrices; ++matrix) {
    const ElementB* from = unpacked_b(args, matrix) + column * kBColumn;
    Sum* to = packed_b(args, matrix) + task->index * kPanelSize;
    for (std::int64_t i = 0; i < kPanelSize; ++i) to[i] = 0;
    for (std::int64_t j = 0; j < width; ++j) {
      for (std::int64_t p = 0; p < kFours; ++p)
        to[p * kNr + j] = four<kBRow>(from + 4 * p * kBRow + j * kBColumn, kK - 4 * p);
      for (std::int64_t p = 0; p < kK; ++p)
        to[kFours * kNr + j] += 128 * static_cast<Sum>(from[p * kBRow + j * kBColumn]);
    }
  }
}
