// What the driver and NVML say of a node's GPUs. Makes no context, so it costs no device memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/cuda/driver.h"

namespace kiln::targets::cuda {

struct GpuDescription {
  std::int32_t ordinal = 0;
  std::string name;          // "NVIDIA H200"
  std::string uuid;          // "GPU-1b4e28ba-2fa1-..."
  std::string pci;           // "0000:3b:00.0"
  std::string architecture;  // "sm_90a": what its code objects are compiled for
  std::int32_t compute_major = 0, compute_minor = 0;
  std::int32_t multiprocessors = 0;
  std::int32_t threads_per_multiprocessor = 0, blocks_per_multiprocessor = 0;
  std::int32_t registers_per_multiprocessor = 0, registers_per_block = 0;
  std::int64_t shared_per_multiprocessor_bytes = 0;
  std::int64_t shared_per_block_bytes = 0;  // the most that one block can ask for (opt-in)
  std::int64_t l2_bytes = 0, persisting_l2_bytes = 0;
  std::int64_t memory_bytes = 0;
  std::int32_t clock_khz = 0, memory_clock_khz = 0, memory_bus_bits = 0;
  std::int32_t copy_engines = 0;
  bool ecc = false;
  bool mig = false;             // a slice of a GPU, or one that is cut into slices
  bool cluster_launch = false;  // thread block clusters with distributed shared memory
  bool cooperative_launch = false;
  bool tensor_maps = false;  // the bulk tensor copy engine
  bool virtual_memory = false, shares_by_descriptor = false;  // memory that processes share
  std::int32_t nvlinks = 0;  // active ones
  std::int32_t pcie_generation = 0, pcie_width = 0;
  std::vector<std::int32_t> peers;  // ordinals of GPUs whose memory it can reach directly
};

struct NodeDescription {
  std::int32_t driver_version = 0;  // of the driver API: 13000 for 13.0
  std::string driver_release;       // "580.159.04"; empty without NVML
  std::vector<GpuDescription> gpus;
};

// Throws Error(unavailable) when there is no driver or no device, DriverError when the driver fails.
[[nodiscard]] NodeDescription detect(const kiln::cuda::DriverApi& api);

}  // namespace kiln::targets::cuda
