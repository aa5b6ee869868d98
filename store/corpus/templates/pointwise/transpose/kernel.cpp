// Data movement: each element is read once and written once. A tile x tile block is read along the source's contiguous
// dimension, transposed in scratch (first-level cache), and written along the destination's, so that both sides use
// every byte of a cache line. The floor is 8 bytes per element at copy bandwidth; strides that are a multiple of a page
// limit it in practice, as the lines of a block then fall into few sets of the cache.

constexpr std::int64_t kTilesDown = (kDown + kTile - 1) / kTile;
constexpr std::int64_t kTilesAcross = (kAcross + kTile - 1) / kTile;
constexpr std::int64_t kTiles = kPlanes * kTilesDown * kTilesAcross;

inline void full_tile(const float* from, float* to, float* block) {
  for (std::int64_t a = 0; a < kTile; ++a)
    for (std::int64_t d = 0; d < kTile; ++d) block[d * kTile + a] = from[a * kFromStride + d];
  for (std::int64_t d = 0; d < kTile; ++d)
    __builtin_memcpy(to + d * kToStride, block + d * kTile, kTile * sizeof(float));
}

inline void edge_tile(const float* from, float* to, std::int64_t down, std::int64_t across) {
  for (std::int64_t d = 0; d < down; ++d)
    for (std::int64_t a = 0; a < across; ++a) to[d * kToStride + a] = from[a * kFromStride + d];
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  float* block = static_cast<float*>(task->scratch);
  const std::int64_t first = kTiles * task->index / task->count;
  const std::int64_t last = kTiles * (task->index + 1) / task->count;
  for (std::int64_t tile = first; tile < last; ++tile) {
    const Plane at = plane_at(args, tile / (kTilesDown * kTilesAcross));
    const std::int64_t d = tile / kTilesAcross % kTilesDown * kTile;
    const std::int64_t a = tile % kTilesAcross * kTile;
    const float* from = at.from + a * kFromStride + d;
    float* to = at.to + d * kToStride + a;
    const std::int64_t down = kDown - d < kTile ? kDown - d : kTile;
    const std::int64_t across = kAcross - a < kTile ? kAcross - a : kTile;
    if (down == kTile && across == kTile) full_tile(from, to, block);
    else edge_tile(from, to, down, across);
  }
}
