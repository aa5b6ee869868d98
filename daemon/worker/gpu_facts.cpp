#include "daemon/worker/gpu_facts.h"

namespace kiln::worker {

agents::GpuFacts gpu_facts(const targets::cuda::GpuDescription& gpu) {
  agents::GpuFacts facts;
  facts.name = gpu.name;
  facts.architecture = gpu.architecture;
  facts.multiprocessors = gpu.multiprocessors;
  facts.threads_per_multiprocessor = gpu.threads_per_multiprocessor;
  facts.registers_per_multiprocessor = gpu.registers_per_multiprocessor;
  facts.shared_per_multiprocessor_bytes = gpu.shared_per_multiprocessor_bytes;
  facts.shared_per_block_bytes = gpu.shared_per_block_bytes;
  facts.l2_bytes = gpu.l2_bytes;
  facts.memory_bytes = gpu.memory_bytes;
  facts.cluster_launch = gpu.cluster_launch;
  return facts;
}

}  // namespace kiln::worker
