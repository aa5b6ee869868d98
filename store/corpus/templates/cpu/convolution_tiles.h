// Convolution on the tile unit: what its templates share, whatever the elements. A place of the padded form of x is
// 64 bytes of neighbouring channels (kPlace of them), so that 16 neighbouring places are a tile of rows as they lie.
// After tiles.h. `Products` says how:
//   add(x, w)                                  adds the products of a tap, for 32 results, to the tiles of sums
//   plain_part(args, part), plain_panel(w)     whether an image's group, or a panel of w, is none for the tile unit
//   plain(packed, part, w, phase, first, sums) the block of sums from place `first` without it
//   place(sums, w, plain, rows)                sums [place][channel] to rows[channel][kSpan] of results

constexpr int kXParts = sizeof(ElementX) == 4 ? kParts : 1;
constexpr std::int64_t kPosition = 64;  // bytes of a part of a place
constexpr std::int64_t kPlace = sizeof(ElementX) == 1 ? kPosition : kPosition / 2;  // channels of x at a place
constexpr std::int64_t kTapBytes = 2 * kXParts * kTileBytes;  // the parts of 32 channels of w, kPlace deep
constexpr std::int64_t kTapWidth = kFold ? kWindowWidth : 1;  // taps that count as channels
constexpr std::int64_t kDepth = kC * kTapWidth;
constexpr std::int64_t kDepths = (kDepth + kPlace - 1) / kPlace;
constexpr std::int64_t kAllTaps = sizeof kTapInput / sizeof kTapInput[0];
constexpr std::int64_t kOuterPhases = kAllPhases / kJoined;
constexpr std::int64_t kPanels = (kM + kBlock - 1) / kBlock;
constexpr std::int64_t kPanelBlocks = (kPanels + kPanelsPerTask - 1) / kPanelsPerTask;
constexpr std::int64_t kPanelBytes = kDepths * kAllTaps * kTapBytes + kBlock * 4;
constexpr std::int64_t kPairs = (kPositions + kBlock - 1) / kBlock;  // of tiles of positions
constexpr std::int64_t kPairBlocks = (kPairs + kPairsPerTask - 1) / kPairsPerTask;
constexpr std::int64_t kSpan = kPairsPerTask * kBlock;  // most positions of a task
constexpr std::int64_t kPartBytes = kChannel * kPosition;
// Where the parts of a block of channels of an image and group begin: [part][place][kPlace].
inline std::int64_t parts_at(std::int64_t block) { return block * kXParts * kPartBytes; }

// Where the lines of a block's channels begin in x, and the place of their element 0.
struct Channels {
  const ElementX* x[kPlace];
  std::int64_t shift[kPlace];
  std::int64_t count;
};

inline Channels channels_of(void* const* args, std::int64_t image, std::int64_t group, std::int64_t block) {
  Channels out;
  out.count = kDepth - block * kPlace < kPlace ? kDepth - block * kPlace : kPlace;
  for (std::int64_t i = 0; i < out.count; ++i) {
    const std::int64_t d = block * kPlace + i;
    out.x[i] = channel_of_x(args, image, group, d / kTapWidth);
    out.shift[i] = d % kTapWidth * kTapStep - kBefore[kRank - 1];
  }
  return out;
}

// 16 neighbours of a line of the padded form: those inside x are kApart elements apart.
constexpr std::int64_t kApart = kStrides[kRank - 1] * kXStrides[kRank - 1];
struct Neighbours {
  const ElementX* from;
  __mmask16 inside;
};

// Places q .. q + 16 of a line, of which `shift` is the place of element 0.
inline Neighbours neighbours_of(const ElementX* x, std::int64_t q, std::int64_t shift) {
  constexpr std::int64_t step = kStrides[kRank - 1], extent = kIn[kRank - 1];
  const std::int64_t first = q * step + shift;
  const __mmask16 before = first_lanes(first < 0 ? (-first + step - 1) / step : 0);
  const __mmask16 inside = first_lanes(first < extent ? (extent - first + step - 1) / step : 0) & ~before;
  return {x + first * kXStrides[kRank - 1], inside};
}

constexpr std::int64_t kStrip = 256;  // places of a packing task
constexpr std::int64_t kStrips = (kChannel + kStrip - 1) / kStrip;

// Calls piece(p, count) for all places first .. end, at most 16 at once, all of one line.
template <class Piece>
inline void along_lines(std::int64_t first, std::int64_t end, const Piece& piece) {
  for (std::int64_t p = first; p < end;) {
    std::int64_t count = kPitch - p % kPitch < end - p ? kPitch - p % kPitch : end - p;
    if (count > kSide) count = kSide;
    piece(p, count);
    p += count;
  }
}

// A block of sums: all channels and the taps of a phase. `ahead`: where this call's share of the next panel begins,
// `lines` of it per step.
template <class Products>
__attribute__((noinline)) void multiply(const Bytes* x, const Bytes* w, std::int64_t phase, const Bytes* ahead,
                                        std::int64_t lines, Sum* sums) {
  zero_sums();
  for (std::int64_t block = 0; block < kDepths; ++block, x += kXParts * kPartBytes)
    for (std::int64_t tap = kPhaseTaps[phase]; tap < kPhaseTaps[phase + 1]; ++tap, w += kTapBytes) {
      for (std::int64_t i = 0; i < lines; ++i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
      Products::add(x + kTapInput[tap] * kPosition, w);
    }
  store_sums(reinterpret_cast<float*>(sums));
}

struct Block {
  std::int64_t image, group, first, end;  // pairs of tiles of positions
};

// The results of one panel, 32 channels, in a task's positions. `sums` is a block, `rows` [kJoined][32][kSpan], and
// behind them is room for the results of one channel.
template <class Products>
inline void add_up(void* const* args, const Block& at, std::int64_t panel, bool plain, Sum* sums, Sum* rows) {
  const Bytes* packed = reinterpret_cast<const Bytes*>(padded(args));
  const std::int64_t part = at.image * kGroups + at.group, count = at.end - at.first;
  const Bytes* w = reinterpret_cast<const Bytes*>(packed_weights(args)) + (at.group * kPanels + panel) * kPanelBytes;
  const std::int64_t lines = (kTapBytes / 64 + count - 1) / count;  // of the next panel, per step of each pair
  plain = plain || Products::plain_panel(w);
  for (std::int64_t outer = 0; outer < kOuterPhases; ++outer) {
    for (std::int64_t phase = outer * kJoined; phase < (outer + 1) * kJoined; ++phase) {
      const std::int64_t steps = (kPhaseTaps[phase + 1] - kPhaseTaps[phase]) * kDepths;
      const Bytes* of_phase = w + kPhaseTaps[phase] * kDepths * kTapBytes;
      for (std::int64_t pair = at.first; pair < at.end; ++pair) {
        const Bytes* x = packed + parts_at(part * kDepths) + pair * kBlock * kPosition;
        const Bytes* ahead = of_phase + kPanelBytes + (pair - at.first) * steps * lines * 64;
        if (plain) Products::plain(packed, part, w, phase, pair * kBlock, sums);
        else multiply<Products>(x, of_phase, phase, ahead, lines, sums);
        Products::place(sums, w, plain, rows + (phase - outer * kJoined) * kBlock * kSpan + (pair - at.first) * kBlock);
      }
    }
    for (std::int64_t i = 0; i < kBlock && panel * kBlock + i < kM; ++i)
      finish_positions(args, at.image, at.group, panel * kBlock + i, at.first * kBlock, count * kBlock, outer,
                       rows + i * kSpan, kBlock * kSpan, rows + kJoined * kBlock * kSpan);
  }
}

// All panels of a task.
template <class Products>
inline void convolve(void* const* args, const kiln_task* task) {
  const std::int64_t panels = task->index % kPanelBlocks, pairs = task->index / kPanelBlocks % kPairBlocks;
  const std::int64_t part = task->index / (kPanelBlocks * kPairBlocks);
  const Block at = {part / kGroups, part % kGroups, kPairs * pairs / kPairBlocks, kPairs * (pairs + 1) / kPairBlocks};
  const bool plain = Products::plain_part(args, part);
  Sum* sums = static_cast<Sum*>(task->scratch);
  const TileShapes shapes;
  _tile_loadconfig(&shapes);
  for (std::int64_t panel = kPanels * panels / kPanelBlocks; panel < kPanels * (panels + 1) / kPanelBlocks; ++panel)
    add_up<Products>(args, at, panel, plain, sums, sums + kBlock * kBlock);
  _tile_release();
}
