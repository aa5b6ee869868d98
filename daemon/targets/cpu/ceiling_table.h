// The measuring loops of one instruction set, as a table. Includes nothing: see ceiling_kernels.h.
#pragma once

namespace kiln::targets::cpu {

// The measuring loops of one instruction set; ceiling_kernels.h.
struct CeilingKernels {
  void (*read)(const unsigned char* data, long bytes, long repeats);
  void (*copy)(unsigned char* to, const unsigned char* from, long bytes);
  void (*fma_f32)(long iterations);
  void (*fma_f64)(long iterations);
  double flops_f32, flops_f64;  // per iteration
};
extern const CeilingKernels ceiling_kernels_generic;
extern const CeilingKernels ceiling_kernels_avx2;
extern const CeilingKernels ceiling_kernels_avx512;

// Products of tiles of bfloat16 on the tile unit, which the process may use (use_tiles()).
void tile_products(long iterations);
constexpr double kTileProductFlops = 4.0 * 2 * 16 * 16 * 32;  // per iteration

}  // namespace kiln::targets::cpu
