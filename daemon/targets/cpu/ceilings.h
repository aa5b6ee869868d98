// What the node can do at best, measured: bandwidth of each level and FLOP/s, on all of a plan's threads at once.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "daemon/targets/cpu/detect.h"

namespace kiln::targets::cpu {

struct Ceilings {
  std::map<std::string, double>
      bandwidth;  // bytes/s: l1_read, l2_read, l3_read, memory_read, memory_copy (read + written)
  std::map<std::string, double> flops;      // FLOP/s: f32, f64; a fused multiply-add counts two. f32_by_tiles, where
                                            // there is a tile unit: float32 products as six of bfloat16 parts
};

// About 2 s. Each figure is the best of several passes: a ceiling, not an average. A level that does not exist has
// none.
[[nodiscard]] Ceilings measure_ceilings(const CpuDescription& caches, int threads);

}  // namespace kiln::targets::cpu
