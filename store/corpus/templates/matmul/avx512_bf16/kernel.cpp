// Data movement: B is packed once per loaded plan when it is a weight, else before each run, in panels of pairs of
// rows; a panel is used by all row tiles of the task from the first or second level of cache. The rows of a task are
// copied into scratch in the order of use and broadcast from there, two elements at a time. Sums stay in registers
// over all of k, the epilogue runs on a tile in the first level, results are written once. The floor is 2 m n k over
// twice the rate of multiply-adds of one vector in float32; with few rows it is the bytes of B; the broadcasts of A
// limit it where tiles are low.  The instruction (Intel SDM, VDPBF16PS) multiplies exactly and adds up in float32;
// what its taking denormals for zero wants is in cpu/bfloat16.h: columns of B have a scale each, and so have rows of
// A that need one.

constexpr std::int64_t kPairs = (kK + 1) / 2;
constexpr std::int64_t kPanelSize = (kPairs + 1) * kNr;  // and a row of the columns' exponents
constexpr std::int64_t kRowTiles = (kM + kMr - 1) / kMr;
constexpr int kTall = static_cast<int>((kM + kRowTiles - 1) / kRowTiles);
constexpr int kShort = static_cast<int>(kM / kRowTiles);
constexpr std::int64_t kRowBlocks = (kM + kMc - 1) / kMc;
constexpr std::int64_t kColumnBlocks = (kN + kNc - 1) / kNc;
constexpr int kTailColumns = static_cast<int>(kN - (kPanels - 1) * kNr);  // of the last panel

// The memory of a task.
struct Scratch {
  Sum* tile;           // [kTall][kNr]
  Sum* exponents;      // [kTall]
  std::uint32_t* rows;  // [kPairs][kTall]
};

// tile[i][v] = sum over p of a[p, i] * b[p, v], each of them two numbers, at the scales of row and column.
template <int rows, int vectors>
__attribute__((noinline)) void multiply(const Scratch& s, const Sum* b) {
  __m512 sum[rows][vectors];
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = _mm512_setzero_ps();
  for (std::int64_t p = 0; p < kPairs; ++p) {
    __m512i column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) column[v] = _mm512_loadu_si512(b + p * kNr + v * kLanes);
#pragma GCC unroll 32
    for (int i = 0; i < rows; ++i) {
      const __m512i row = _mm512_set1_epi32(static_cast<int>(s.rows[p * kTall + i]));
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v] = _mm512_dpbf16_ps(sum[i][v], (__m512bh)row, (__m512bh)column[v]);
    }
  }
  const Sum* exponents = b + kPairs * kNr;
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      const __m512 scale = _mm512_add_ps(_mm512_set1_ps(s.exponents[i]), _mm512_loadu_ps(exponents + v * kLanes));
      _mm512_storeu_ps(s.tile + i * kNr + v * kLanes, _mm512_scalef_ps(sum[i][v], scale));
    }
}

template <int columns>
inline void panel_tile(const Matrices& at, std::int64_t row, int rows, std::int64_t column, const Scratch& s,
                       const Sum* b) {
  constexpr int vectors = (columns + kLanes - 1) / kLanes;
  if (rows == kTall) multiply<kTall, vectors>(s, b);
  else multiply<kShort, vectors>(s, b);
  for (int i = 0; i < rows; ++i) {
    const Sum* sums = s.tile + i * kNr;
    int j = 0;
    for (; j + kLanes <= columns; j += kLanes) finish<kLanes>(at, row + i, column + j, load(sums + j));
    if constexpr (columns % kLanes != 0) finish<columns % kLanes>(at, row + i, column + j, load(sums + j));
  }
}

// Row `from` as column i of the pairs.
inline void pack_row(const ElementA* from, int i, const Scratch& s) {
  const std::uint32_t most = largest<kAColumn>(from, kK);
  const bool scales = wants_scale(most);
  s.exponents[i] = scales ? scale_of(most) : 0.0f;
  const __m512 scale = _mm512_set1_ps(-s.exponents[i]);
  for (std::int64_t p = 0; p < kK; p += 32) {
    std::uint32_t pairs[16];
    if (!scales) {
      _mm512_storeu_si512(pairs, load_32<kAColumn>(from + p * kAColumn, kK - p));
    } else {
      for (std::int64_t half = 0; half < 32; half += 16)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(pairs + half / 2),
                            scaled(load_16<kAColumn>(from + (p + half) * kAColumn, kK - p - half), scale));
    }
    for (std::int64_t q = 0; q < 16 && p / 2 + q < kPairs; ++q) s.rows[(p / 2 + q) * kTall + i] = pairs[q];
  }
}

// Dealt evenly: where part `i` of `parts` of `count` begins.
inline std::int64_t part(std::int64_t count, std::int64_t parts, std::int64_t i) { return count * i / parts; }

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const Matrices at = matrices_at(args, task->index / (kRowBlocks * kColumnBlocks));
  const std::int64_t row_block = task->index / kColumnBlocks % kRowBlocks, column_block = task->index % kColumnBlocks;
  Sum* tile = static_cast<Sum*>(task->scratch);
  Sum* exponents = tile + kTall * kNr;
  const Scratch s{tile, exponents, reinterpret_cast<std::uint32_t*>(exponents + kTall)};
  for (std::int64_t t = part(kRowTiles, kRowBlocks, row_block); t < part(kRowTiles, kRowBlocks, row_block + 1); ++t) {
    const std::int64_t row = part(kM, kRowTiles, t);
    const int rows = static_cast<int>(part(kM, kRowTiles, t + 1) - row);
    for (int i = 0; i < rows; ++i) pack_row(at.a + (row + i) * kARow, i, s);
    for (std::int64_t panel = part(kPanels, kColumnBlocks, column_block);
         panel < part(kPanels, kColumnBlocks, column_block + 1); ++panel) {
      const Sum* b = at.b + panel * kPanelSize;
      if (kTailColumns == kNr || panel + 1 < kPanels) panel_tile<kNr>(at, row, rows, panel * kNr, s, b);
      else panel_tile<kTailColumns>(at, row, rows, panel * kNr, s, b);
    }
  }
}

// One panel of every distinct B; columns past n are zero.
extern "C" void KILN_PACK(void* const* args, const kiln_task* task) {
  const std::int64_t column = task->index * kNr, width = kN - column < kNr ? kN - column : kNr;
  for (std::int64_t matrix = 0; matrix < kPackedMatrices; ++matrix) {
    const ElementB* from = unpacked_b(args, matrix) + column * kBColumn;
    Sum* to = packed_b(args, matrix) + task->index * kPanelSize;
    for (std::int64_t v = 0; v < kNr; v += kLanes) {
      const auto row = [&](std::int64_t p) {
        return p < kK && v < width ? load_16<kBColumn>(from + p * kBRow + v * kBColumn, width - v)
                                   : _mm256_setzero_si256();
      };
      float* exponents = to + kPairs * kNr + v;
      column_scales(row, kK, exponents);
      const __m512 scale = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_loadu_ps(exponents));
      for (std::int64_t p = 0; p < kPairs; ++p) {
        const __m512i low = _mm512_cvtepu16_epi32(scaled(row(2 * p), scale)),
                      high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(scaled(row(2 * p + 1), scale)), 16);
        _mm512_storeu_si512(to + p * kNr + v, _mm512_or_si512(low, high));
      }
    }
  }
}
