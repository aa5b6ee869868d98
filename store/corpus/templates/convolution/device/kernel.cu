// Data movement: a thread has one result of kChannels output channels and reads the elements of x under its window
// from memory and cache; neighbouring threads have neighbouring columns, so that a warp reads whole cache lines, and
// a weight is the same for a whole warp. For few input channels per group (depthwise: one) the floor is x and the
// results once at memory bandwidth; with more, shared memory pays (convolution/gemm). A transposed convolution goes
// phase by phase of its stride, so that nothing is multiplied by the zeros between elements. With kStatistics a block's
// results are of the same channels of one image, and each warp leaves what its results of a channel come to.

constexpr index_t kChannelGroups = (kM + kChannels - 1) / kChannels;
constexpr index_t kThreads = kColumns * kGroups * kChannelGroups;  // of a phase
// Blocks begin where these do: all threads, or those of the same channels of an image.
constexpr index_t kStretch = kStatistics ? kColumns / kStretches : kThreads;
constexpr index_t kStretchBlocks = (kStretch + kBlockThreads - 1) / kBlockThreads;

KILN_ENTRY(KILN_LED) {
  // Phases change fastest: their results are neighbours in memory.
  const index_t block = static_cast<index_t>(block_index());
  const int phase = static_cast<int>(block % kPhases);
  const index_t of_stretch =
      block / kPhases % kStretchBlocks * kBlockThreads + static_cast<index_t>(thread_index());
  const bool active = of_stretch < kStretch;
  if (!kStatistics && !active) return;
  const index_t thread = block / kPhases / kStretchBlocks * kStretch + (active ? of_stretch : 0);
  const index_t q2 = thread % kPhaseOut2, q1 = thread / kPhaseOut2 % kPhaseOut1;
  const index_t q0 = thread / kPhaseOut2 / kPhaseOut1 % kPhaseOut0;
  const index_t rest = thread / kPhaseOut2 / kPhaseOut1 / kPhaseOut0;
  const index_t m = rest % kChannelGroups * kChannels, group = rest / kChannelGroups % kGroups;
  const index_t image = rest / kChannelGroups / kGroups;
  const Taps t0 = taps0(phase), t1 = taps1(phase), t2 = taps2(phase);

  Value sums[kChannels] = {};
  for (int j0 = 0; j0 < t0.count; ++j0) {
    const index_t i0 = q0 * t0.along + t0.base + j0 * t0.next;
    if (i0 < 0 || i0 >= kIn0) continue;
    for (int j1 = 0; j1 < t1.count; ++j1) {
      const index_t i1 = q1 * t1.along + t1.base + j1 * t1.next;
      if (i1 < 0 || i1 >= kIn1) continue;
      for (index_t c = 0; c < kC; ++c) {
#pragma unroll(kUnroll)
        for (int j2 = 0; j2 < (kTransposed ? t2.count : kTaps2); ++j2) {
          const index_t i2 = q2 * t2.along + t2.base + j2 * t2.next;
          const bool met = i2 >= 0 && i2 < kIn2;
          const Value x = met ? load_x(arguments, image, group, c, i0, i1, i2) : Value(0);
          const int k0 = t0.first + j0 * t0.step, k1 = t1.first + j1 * t1.step, k2 = t2.first + j2 * t2.step;
#pragma unroll
          for (int r = 0; r < kChannels; ++r)
            if (kChannels == 1 || m + r < kM) sums[r] += x * load_w(arguments, group, m + r, c, k0, k1, k2);
        }
      }
    }
  }
  const index_t o0 = q0 * t0.results + t0.phase, o1 = q1 * t1.results + t1.phase, o2 = q2 * t2.results + t2.phase;
  const bool inside[1] = {active && o0 < kOut0 && o1 < kOut1 && o2 < kOut2};
  if (!kStatistics && !inside[0]) return;
#pragma unroll
  for (int r = 0; r < kChannels; ++r) {
    if (m + r >= kM) break;
    f32 seen[1] = {0};
    if (inside[0]) seen[0] = finish(arguments, image, group, m + r, o0, o1, o2, sums[r]);
    if constexpr (kStatistics) {
      const index_t part = of_stretch / 32 * kPhases + phase;
      const Moments own = moments_of<32>(seen, inside);
      if (thread_index() % 32 == 0) parts_of(arguments, (image * kGroups + group) * kM + m + r)[part] = own;
    }
  }
}

KILN_CONCLUDE
