// Data movement: groups of one input channel. A thread has kDown results below each other and the channel's weights in
// registers; each row of x under them is read once for all of them. Neighbouring threads have neighbouring columns, so
// that a warp reads whole cache lines, and the taps that they share come from the first-level cache. The floor is x and
// the results once at memory bandwidth; taps times results in instructions limit large windows.
// With kStatistics a block's results are of one channel of one image, and each warp leaves what its results come to.
// A window over fewer than three dimensions has leading dimensions of one element (0: depth, 1: rows, 2: columns).

constexpr index_t kRowGroups = (kOut1 + kDown - 1) / kDown;
constexpr index_t kPlaneThreads = kOut0 * kRowGroups * kOut2, kThreads = kImages * kGroups * kM * kPlaneThreads;
// Blocks begin where these do: all threads, or those of a channel.
constexpr index_t kStretch = kStatistics ? kPlaneThreads : kThreads;
constexpr index_t kStretchBlocks = (kStretch + kBlockThreads - 1) / kBlockThreads;
constexpr int kSpan = (kDown - 1) * kStride1 + (kTaps1 - 1) * kDilation1 + 1;  // rows of x under a thread's results

// Which tap meets the row of x that lies `offset` below a window's first one; -1 for none.
KILN_DEVICE constexpr int tap_at(int offset) {
  return offset >= 0 && offset % kDilation1 == 0 && offset / kDilation1 < kTaps1 ? offset / kDilation1 : -1;
}
KILN_DEVICE constexpr bool meets_any(int offset) {
  for (int d = 0; d < kDown; ++d)
    if (tap_at(offset - d * kStride1) >= 0) return true;
  return false;
}

// One channel of an image, and where a thread's windows begin in it.
struct Corner {
  index_t image, group, channel, row, column;
};

// Adds a slice of x, `depth` deep, which meets the weights' slice k0.
KILN_DEVICE void add_slice(const Arguments& arguments, const Corner& at, index_t depth, int k0, Value (&sums)[kDown]) {
  Value weights[kTaps1][kTaps2];
#pragma unroll
  for (int k1 = 0; k1 < kTaps1; ++k1)
#pragma unroll
    for (int k2 = 0; k2 < kTaps2; ++k2) weights[k1][k2] = load_w(arguments, at.group, at.channel, 0, k0, k1, k2);
#pragma unroll
  for (int offset = 0; offset < kSpan; ++offset) {
    if (!meets_any(offset)) continue;
    const index_t row = at.row + offset;
    Value x[kTaps2];
#pragma unroll
    for (int k2 = 0; k2 < kTaps2; ++k2) {
      const index_t column = at.column + k2 * kDilation2;
      const bool inside = row >= 0 && row < kIn1 && column >= 0 && column < kIn2;
      x[k2] = inside ? load_x(arguments, at.image, at.group, 0, depth, row, column) : Value(0);
    }
#pragma unroll
    for (int d = 0; d < kDown; ++d) {
      const int k1 = tap_at(offset - d * kStride1);
      if (k1 < 0) continue;
#pragma unroll
      for (int k2 = 0; k2 < kTaps2; ++k2) sums[d] += x[k2] * weights[k1][k2];
    }
  }
}

KILN_ENTRY(KILN_LED) {
  const index_t block = static_cast<index_t>(block_index());
  const index_t of_stretch = block % kStretchBlocks * kBlockThreads + static_cast<index_t>(thread_index());
  const bool active = of_stretch < kStretch;
  if (!kStatistics && !active) return;
  const index_t thread = block / kStretchBlocks * kStretch + (active ? of_stretch : 0);
  const index_t o2 = thread % kOut2, down = thread / kOut2 % kRowGroups * kDown;
  const index_t slice = thread / kOut2 / kRowGroups, o0 = slice % kOut0, plane = slice / kOut0;
  const Corner at = {plane / kM / kGroups, plane / kM % kGroups, plane % kM, down * kStride1 - kBefore1,
                     o2 * kStride2 - kBefore2};
  Value sums[kDown] = {};
  for (int k0 = 0; k0 < kTaps0; ++k0) {
    const index_t depth = o0 * kStride0 - kBefore0 + k0 * kDilation0;
    if (depth >= 0 && depth < kIn0) add_slice(arguments, at, depth, k0, sums);
  }
  f32 seen[kDown] = {};
  bool inside[kDown];
#pragma unroll
  for (int d = 0; d < kDown; ++d) {
    inside[d] = active && down + d < kOut1;
    if (inside[d]) seen[d] = finish(arguments, at.image, at.group, at.channel, o0, down + d, o2, sums[d]);
  }
  if constexpr (kStatistics) {
    const Moments own = moments_of<32>(seen, inside);
    if (thread_index() % 32 == 0) parts_of(arguments, plane)[of_stretch / 32] = own;
  }
}

KILN_CONCLUDE
