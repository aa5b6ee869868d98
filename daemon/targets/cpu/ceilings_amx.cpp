// Compiled for the tile unit; called only where the processor and the system have it.
#include "daemon/targets/cpu/ceiling_table.h"

#if defined(__AMX_BF16__)
#include <immintrin.h>
#endif

namespace kiln::targets::cpu {

#if defined(__AMX_BF16__)
namespace {
struct __attribute__((packed)) TileShapes {
  unsigned char palette = 1, start_row = 0, reserved[14] = {};
  unsigned short row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  unsigned char rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
}  // namespace

void tile_products(long iterations) {
  const TileShapes shapes;
  _tile_loadconfig(&shapes);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (long i = 0; i < iterations; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}
#else
void tile_products(long) {}
#endif

}  // namespace kiln::targets::cpu
