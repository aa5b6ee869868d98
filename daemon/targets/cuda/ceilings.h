// What a GPU can do at best, measured: bandwidth of its memory and second-level cache, FLOP/s, the time of a launch.
#pragma once

#include <map>
#include <string>

#include "daemon/targets/cuda/device.h"

namespace kiln::targets::cuda {

// CUDA C++ of the measuring kernels; compiled by a build worker for the device's architecture.
[[nodiscard]] std::string ceiling_kernels_source();

struct GpuCeilings {
  std::map<std::string, double>
      bandwidth;                        // bytes/s: memory_copy (read + written), memory_read, memory_write, l2_read
  std::map<std::string, double> flops;  // FLOP/s: f32, f64; a fused multiply-add counts two
  double launch_ns = 0;                 // between two launches of nothing that follow each other on a stream
};

// About a second. Each figure is the best of several passes: a ceiling, not an average. `cubin` is
// ceiling_kernels_source() compiled. Throws DriverError.
[[nodiscard]] GpuCeilings measure_ceilings(Gpu& gpu, const std::string& cubin);

// How often the instrument sees a difference where there is none: one kernel as two subjects, 40 trials of 21 pairs,
// counted as daemon/targets/cpu/instrument.h does.
[[nodiscard]] double false_difference_rate(Gpu& gpu, const std::string& cubin);

}  // namespace kiln::targets::cuda
