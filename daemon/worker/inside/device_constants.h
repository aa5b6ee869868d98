// The constants of what candidates share, once in the GPU's memory: every candidate has a copy of its own, made there.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>

#include "daemon/targets/cuda/device.h"

namespace kiln::worker {

class DeviceConstants {
 public:
  explicit DeviceConstants(const targets::cuda::Gpu& gpu) : gpu_(gpu) {}

  // Where the bytes of `directory`/constants.bin are, until the next call; null where there are none, too few to be
  // worth it, or more than the device spares. Files are known by inode: candidates of one workload link the same.
  // Throws Error(io), DriverError.
  [[nodiscard]] const void* of(const std::string& directory);

 private:
  const targets::cuda::Gpu& gpu_;
  std::optional<targets::cuda::DeviceMemory> memory_;
  struct stat file_ {};
};

}  // namespace kiln::worker
