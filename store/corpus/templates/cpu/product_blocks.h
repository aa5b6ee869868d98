// Products on the tile unit: what their templates share, whatever the elements. A task computes blocks of 32 rows (a
// pair of tiles) by a panel of 32 columns, step by step along k; for float32 a step has the tiles of three parts.
// After tiles.h. `Products` says how:
//   pack_row(row, to)       a row of A to its lines of the steps, kStep bytes apart; its exponent
//   pack_panel(from, width, to)  columns of B to the steps of a panel; behind them, if scaled, an exponent for each
//   add(a, b)               adds the products of a step to the tiles of sums
//   value(at, row, exponent, panel, v, sums)  of 16 sums what the epilogue takes, columns 16 v .. of a panel

constexpr int kAParts = sizeof(ElementA) == 4 ? kParts : 1;
constexpr bool kScaled = sizeof(ElementA) > 1;  // whether rows of A and columns of B have an exponent each
constexpr std::int64_t kStepDeep = sizeof(ElementA) == 1 ? 2 * kDeep : kDeep;  // products
constexpr std::int64_t kLower = kAParts * kTileBytes;  // where in a step the lower 16 rows begin, or the right columns
constexpr std::int64_t kStep = 2 * kLower;  // bytes
constexpr std::int64_t kSteps = (kK + kStepDeep - 1) / kStepDeep;
constexpr std::int64_t kPanelBytes = kSteps * kStep + (kScaled ? kNr * 4 : 0);
static_assert(kPanels * kPanelBytes == kPackedStride * 4);

constexpr std::int64_t kPairs = (kM + kBlock - 1) / kBlock;  // of row tiles
constexpr std::int64_t kRowBlocks = (kM + kMc - 1) / kMc;
constexpr std::int64_t kColumnBlocks = (kN + kNc - 1) / kNc;
constexpr std::int64_t kDepthBlocks = (kK + kKc - 1) / kKc;
constexpr std::int64_t kMostPairs = (kPairs + kRowBlocks - 1) / kRowBlocks;  // of a task
constexpr int kTailColumns = static_cast<int>(kN - (kPanels - 1) * kNr);     // of the last panel

struct Block { std::int64_t pair_begin, pair_end, panel_begin, panel_end; };

// What a task computes, of the matrix with index task / (kRowBlocks * kColumnBlocks).
inline Block block_of(std::int64_t task) {
  const auto part = [](std::int64_t count, std::int64_t parts, std::int64_t i) { return count * i / parts; };
  const std::int64_t rows = task / kColumnBlocks % kRowBlocks, columns = task % kColumnBlocks;
  return {part(kPairs, kRowBlocks, rows), part(kPairs, kRowBlocks, rows + 1), part(kPanels, kColumnBlocks, columns),
          part(kPanels, kColumnBlocks, columns + 1)};
}

inline const float* exponents_of(const Bytes* panel) { return reinterpret_cast<const float*>(panel + kSteps * kStep); }

// sums (+)= `steps` of products of 32 rows and 32 columns. `ahead`: where this call's share of the next panel begins,
// `lines` of it per step; past the end of B nothing is fetched.
template <class Products>
__attribute__((noinline)) void multiply(const Bytes* a, const Bytes* b, std::int64_t steps, bool first, Sum* sums,
                                        const Bytes* ahead, std::int64_t lines) {
  if (first) zero_sums();
  else load_sums(reinterpret_cast<const float*>(sums));
  for (std::int64_t t = 0; t < steps; ++t, a += kStep, b += kStep) {
    for (std::int64_t i = 0; i < lines; ++i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
    Products::add(a, b);
  }
  store_sums(reinterpret_cast<float*>(sums));
}

// The epilogue of one row of a block of sums.
template <class Products, int columns>
inline void finish_row(const Matrices& at, std::int64_t row, std::int64_t column, float exponent, const Bytes* panel,
                       const Sum* sums) {
  const auto value = [&](std::int64_t v) { return Products::value(at, row, exponent, panel, v, sums + v * kLanes); };
  if constexpr (columns < kLanes) {
    finish<columns>(at, row, column, value(0));
  } else {
    finish<kLanes>(at, row, column, value(0));
    if constexpr (columns > kLanes) finish<columns - kLanes>(at, row, column + kLanes, value(1));
  }
}

// The memory of a task.
struct Scratch {
  Bytes* a;          // [kMostPairs][kSteps] of kStep
  float* exponents;  // [kMostPairs][32], if scaled
  Sum* sums;         // one block, or all when k is cut
};

inline Scratch scratch_of(const kiln_task* task) {
  Bytes* a = static_cast<Bytes*>(task->scratch);
  auto* exponents = reinterpret_cast<float*>(a + kMostPairs * kSteps * kStep);
  return {a, exponents, reinterpret_cast<Sum*>(exponents + (kScaled ? kMostPairs * kBlock : 0))};
}

template <class Products>
inline void finish_block(const Matrices& at, std::int64_t row, std::int64_t panel, const float* exponents,
                         const Bytes* b, const Sum* sums) {
  const std::int64_t rows = kM - row < kBlock ? kM - row : kBlock;
  for (std::int64_t i = 0; i < rows; ++i, sums += kNr) {
    const float own = kScaled ? exponents[i] : 0.0f;
    if (kTailColumns == kNr || panel + 1 < kPanels)
      finish_row<Products, kNr>(at, row + i, panel * kNr, own, b, sums);
    else
      finish_row<Products, kTailColumns>(at, row + i, panel * kNr, own, b, sums);
  }
}

// Steps p0 .. p1 of all the task's blocks.
template <class Products>
inline void depth_block(const Matrices& at, const Block& block, std::int64_t p0, std::int64_t p1, const Scratch& s) {
  const std::int64_t pairs = block.pair_end - block.pair_begin;
  const std::int64_t lines = (kStep / 64 + pairs - 1) / pairs;  // of the next panel, per step of each pair
  for (std::int64_t panel = block.panel_begin; panel < block.panel_end; ++panel) {
    const Bytes* b = reinterpret_cast<const Bytes*>(at.b) + panel * kPanelBytes;
    for (std::int64_t i = 0; i < pairs; ++i) {
      Sum* sums = kDepthBlocks > 1 ? s.sums + ((panel - block.panel_begin) * pairs + i) * kBlock * kNr : s.sums;
      const Bytes* ahead = b + kPanelBytes + p0 * kStep + i * (p1 - p0) * lines * 64;
      multiply<Products>(s.a + (i * kSteps + p0) * kStep, b + p0 * kStep, p1 - p0, p0 == 0, sums, ahead, lines);
      if (p1 == kSteps)
        finish_block<Products>(at, (block.pair_begin + i) * kBlock, panel, s.exponents + i * kBlock, b, sums);
    }
  }
}

template <class Products>
inline void pack_rows(const Matrices& at, const Block& block, const Scratch& s) {
  const std::int64_t begin = block.pair_begin * kBlock,
                     end = block.pair_end * kBlock < kM ? block.pair_end * kBlock : kM;
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t i = row - begin;
    Bytes* line = s.a + i / kBlock * kSteps * kStep + i / kSide % 2 * kLower + i % kSide * 64;
    const float exponent = Products::pack_row(at.a + row * kARow, line);
    if constexpr (kScaled) s.exponents[i] = exponent;
  }
}

// A task of the product.
template <class Products>
inline void multiply_blocks(void* const* args, const kiln_task* task) {
  const Matrices at = matrices_at(args, task->index / (kRowBlocks * kColumnBlocks));
  const Block block = block_of(task->index);
  const Scratch s = scratch_of(task);
  pack_rows<Products>(at, block, s);
  const TileShapes shapes;
  _tile_loadconfig(&shapes);
  constexpr std::int64_t kBlockSteps = (kSteps + kDepthBlocks - 1) / kDepthBlocks;
  for (std::int64_t p = 0; p < kSteps; p += kBlockSteps)
    depth_block<Products>(at, block, p, p + kBlockSteps < kSteps ? p + kBlockSteps : kSteps, s);
  _tile_release();
}

// A task of packing: one panel of every distinct B.
template <class Products>
inline void pack_panels(void* const* args, const kiln_task* task) {
  const std::int64_t column = task->index * kNr, width = kN - column < kNr ? kN - column : kNr;
  for (std::int64_t matrix = 0; matrix < kPackedMatrices; ++matrix)
    Products::pack_panel(unpacked_b(args, matrix) + column * kBColumn, width,
                         reinterpret_cast<Bytes*>(packed_b(args, matrix)) + task->index * kPanelBytes);
}
