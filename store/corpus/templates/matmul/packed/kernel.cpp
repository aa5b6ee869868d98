// Data movement: B is read from its panels, [column panel][k][kNr], one contiguous stream; a panel of kc rows is used
// by all row tiles of the task from the first or second level of cache. A is read in place (or from a packed block) by
// broadcasts, once per panel, from the second level. Sums stay in registers for kc products; when k is longer, partial
// tiles wait in scratch. The epilogue runs on a tile that is still in the first level, so results are written once and
// operands read once. The floor is 2 m n k / peak; in practice the panel's bandwidth from the second level and the tail
// tiles limit it. Elements of 16 bits become float32, and
// integers i32, when they are packed or broadcast.
//
// Rows are dealt evenly over ceil(m / kMr) tiles, so that there are two tile heights that differ by one, and no thin
// tail.

constexpr std::int64_t kRowTiles = (kM + kMr - 1) / kMr;
constexpr int kTall = static_cast<int>((kM + kRowTiles - 1) / kRowTiles);
constexpr int kShort = static_cast<int>(kM / kRowTiles);
constexpr std::int64_t kRowBlocks = (kM + kMc - 1) / kMc;
constexpr std::int64_t kColumnBlocks = (kN + kNc - 1) / kNc;
constexpr std::int64_t kDepthBlocks = (kK + kKc - 1) / kKc;
constexpr std::int64_t kDepth = (kK + kDepthBlocks - 1) / kDepthBlocks;
constexpr int kTailColumns = static_cast<int>(kN - (kPanels - 1) * kNr);  // of the last panel
constexpr int kTailVectors = (kTailColumns + kLanes - 1) / kLanes;

// How the broadcasts of A are addressed: packed, kTall values per k; in place, by the strides of A.
constexpr std::int64_t kAStep = kPackA ? kTall : kAColumn;
constexpr std::int64_t kARowStep = kPackA ? 1 : kARow;
using Left = std::conditional_t<kPackA, Sum, ElementA>;

// tile[i][v] (+)= sum over p < depth of a[i, p] * b[p, v]
template <int rows, int vectors>
__attribute__((noinline)) void multiply(const Left* a, const Sum* b, std::int64_t depth, bool first, Sum* tile) {
  Sums sum[rows][vectors];
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = Sums{};
#pragma GCC unroll 2
  for (std::int64_t p = 0; p < depth; ++p) {
    Sums column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) column[v] = load(b + p * kNr + v * kLanes);
#pragma GCC unroll 32
    for (int i = 0; i < rows; ++i) {
      const Sums row = splat(static_cast<Sum>(a[p * kAStep + i * kARowStep]));
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v] += row * column[v];
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      Sum* to = tile + (i * kNv + v) * kLanes;
      store(to, first ? sum[i][v] : load(to) + sum[i][v]);
    }
}

template <int vectors>
inline void multiply_rows(int rows, const Left* a, const Sum* b, std::int64_t depth, bool first, Sum* tile) {
  if (rows == kTall) multiply<kTall, vectors>(a, b, depth, first, tile);
  else multiply<kShort, vectors>(a, b, depth, first, tile);
}

template <int columns>
inline void finish_tile(const Matrices& at, std::int64_t row, int rows, std::int64_t column, const Sum* tile) {
  for (int i = 0; i < rows; ++i) {
    int j = 0;
    for (; j + kLanes <= columns; j += kLanes) finish<kLanes>(at, row + i, column + j, load(tile + i * kNr + j));
    if constexpr (columns % kLanes != 0) finish<columns % kLanes>(at, row + i, column + j, load(tile + i * kNr + j));
  }
}

// Rows [row, row + rows) of A, products [p, p + depth), as [p][kTall].
inline void pack_tile(const ElementA* a, std::int64_t row, int rows, std::int64_t p, std::int64_t depth, Sum* to) {
  for (int i = 0; i < rows; ++i)
    for (std::int64_t q = 0; q < depth; ++q)
      to[q * kTall + i] = static_cast<Sum>(a[(row + i) * kARow + (p + q) * kAColumn]);
}

// Dealt evenly: where part `i` of `parts` of `count` begins.
inline std::int64_t part(std::int64_t count, std::int64_t parts, std::int64_t i) { return count * i / parts; }

struct Block {
  std::int64_t tile_begin, tile_end, panel_begin, panel_end;
};

template <bool packed>
inline auto left(const ElementA* in_place, const Sum* copy) {
  if constexpr (packed) return copy;
  else return in_place;
}

inline void depth_block(const Matrices& at, const Block& block, std::int64_t p, std::int64_t depth, Sum* tiles,
                        Sum* packed_a) {
  const bool first = p == 0, last = p + depth == kK;
  if constexpr (kPackA)
    for (std::int64_t t = block.tile_begin; t < block.tile_end; ++t) {
      const std::int64_t row = part(kM, kRowTiles, t);
      pack_tile(at.a, row, static_cast<int>(part(kM, kRowTiles, t + 1) - row), p, depth,
                packed_a + (t - block.tile_begin) * kTall * kDepth);
    }
  for (std::int64_t panel = block.panel_begin; panel < block.panel_end; ++panel) {
    const Sum* b = at.b + (panel * kK + p) * kNr;
    for (std::int64_t t = block.tile_begin; t < block.tile_end; ++t) {
      const std::int64_t row = part(kM, kRowTiles, t);
      const int rows = static_cast<int>(part(kM, kRowTiles, t + 1) - row);
      const Left* a =
          left<kPackA>(at.a + row * kARow + p * kAColumn, packed_a + (t - block.tile_begin) * kTall * kDepth);
      Sum* tile = tiles;
      if constexpr (kDepthBlocks > 1)
        tile +=
            ((panel - block.panel_begin) * (block.tile_end - block.tile_begin) + (t - block.tile_begin)) * kTall * kNr;
      if (kTailColumns == kNr || panel + 1 < kPanels) {
        multiply_rows<kNv>(rows, a, b, depth, first, tile);
        if (last) finish_tile<kNr>(at, row, rows, panel * kNr, tile);
      } else {
        multiply_rows<kTailVectors>(rows, a, b, depth, first, tile);
        if (last) finish_tile<kTailColumns>(at, row, rows, panel * kNr, tile);
      }
    }
  }
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const Matrices at = matrices_at(args, task->index / (kRowBlocks * kColumnBlocks));
  const std::int64_t row_block = task->index / kColumnBlocks % kRowBlocks, column_block = task->index % kColumnBlocks;
  const Block block = {part(kRowTiles, kRowBlocks, row_block), part(kRowTiles, kRowBlocks, row_block + 1),
                       part(kPanels, kColumnBlocks, column_block), part(kPanels, kColumnBlocks, column_block + 1)};
  Sum* tiles = static_cast<Sum*>(task->scratch);
  const std::int64_t kept =
      kDepthBlocks > 1 ? (block.tile_end - block.tile_begin) * (block.panel_end - block.panel_begin) : 1;
  for (std::int64_t p = 0; p < kK; p += kDepth)
    depth_block(at, block, p, p + kDepth < kK ? kDepth : kK - p, tiles, tiles + kept * kTall * kNr);
}

// One panel of every distinct B, in the type of the sums; columns past n are zero.
extern "C" void KILN_PACK(void* const* args, const kiln_task* task) {
  const std::int64_t panel = task->index, column = panel * kNr;
  const std::int64_t width = kN - column < kNr ? kN - column : kNr;
  for (std::int64_t matrix = 0; matrix < kPackedMatrices; ++matrix) {
    const ElementB* from = unpacked_b(args, matrix) + column * kBColumn;
    Sum* to = packed_b(args, matrix) + panel * kK * kNr;
    // Copies and padding in loops of their own, as GCC 12 makes wrong masks for conditions in loops over lanes.
    if constexpr (kBColumn == 1) {
      for (std::int64_t p = 0; p < kK; ++p) {
        for (std::int64_t j = 0; j < width; ++j) to[p * kNr + j] = static_cast<Sum>(from[p * kBRow + j]);
        for (std::int64_t j = width; j < kNr; ++j) to[p * kNr + j] = 0;
      }
    } else {
      for (std::int64_t j = 0; j < width; ++j)
        for (std::int64_t p = 0; p < kK; ++p) to[p * kNr + j] = static_cast<Sum>(from[p * kBRow + j * kBColumn]);
      for (std::int64_t j = width; j < kNr; ++j)
        for (std::int64_t p = 0; p < kK; ++p) to[p * kNr + j] = 0;
    }
  }
}
