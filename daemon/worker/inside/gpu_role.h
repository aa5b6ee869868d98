// What the roles that touch a GPU share: what their sandbox lets through, and the GPU itself, opened once the worker
// is in it.
#pragma once

#include <memory>
#include <string>

#include "daemon/targets/cuda/device.h"
#include "daemon/worker/sandbox.h"

namespace kiln::worker {

// The driver reads and writes its device files, names its threads through /proc/self, and reads what the system says
// of devices and memory; folders of LD_LIBRARY_PATH hold a driver or compiler that is not where the system keeps its
// own.
[[nodiscard]] SandboxRules gpu_rules(const std::string& staging);

// Which GPU, of the argument that the daemon wrote.
[[nodiscard]] std::int32_t ordinal_of(const std::string& argument);

// The GPU of a worker, opened at the first request: the driver starts threads, and a sandbox is entered with one.
class LazyGpu {
 public:
  explicit LazyGpu(std::int32_t ordinal) : ordinal_(ordinal) {}
  [[nodiscard]] targets::cuda::Gpu& get();

 private:
  const std::int32_t ordinal_;
  std::unique_ptr<targets::cuda::Gpu> gpu_;
};

// Folders of LD_LIBRARY_PATH.
[[nodiscard]] std::vector<std::filesystem::path> library_folders();

}  // namespace kiln::worker
