// Operands that lie transposed to the result. Data movement: a tile of each is read along its own contiguous
// dimension into shared memory and taken from there along the result's, so that both sides move whole cache lines;
// everything is read once and written once. The floor is bytes / copy bandwidth. The rows of a tile are one element
// longer than it is wide, so that neither side meets itself in a bank of shared memory.

constexpr int kTileElements = kTile * kTile;
constexpr index_t kTilesDown = (kDown + kTile - 1) / kTile, kTilesAcross = (kAcross + kTile - 1) / kTile;

KILN_ENTRY(KILN_KERNEL) {
  Tiles& tiles = *static_cast<Tiles*>(shared_memory());
  const index_t block = static_cast<index_t>(block_index());
  const Place at = place_of(block / (kTilesDown * kTilesAcross));
  const index_t down = block / kTilesAcross % kTilesDown * kTile, across = block % kTilesAcross * kTile;
  const int thread = static_cast<int>(thread_index());
#pragma unroll
  for (int e = 0; e < kTileElements; e += kBlockThreads) {
    const int d = (e + thread) % kTile, a = (e + thread) / kTile;
    if (down + d < kDown && across + a < kAcross) stage(arguments, at, tiles, down + d, across + a, d, a);
  }
  block_barrier();
#pragma unroll
  for (int e = 0; e < kTileElements; e += kBlockThreads) {
    const int a = (e + thread) % kTile, d = (e + thread) / kTile;
    if (down + d < kDown && across + a < kAcross) finish(arguments, at, tiles, down + d, across + a, d, a);
  }
}
