// Memory of a GPU that two processes see: one makes it and hands out a descriptor, the other maps what the descriptor
// stands for (CUDA Driver API, "Virtual Memory Management"). It lives as long as either has it.
#pragma once

#include <cstddef>
#include <string>

#include "daemon/targets/cuda/device.h"
#include "runtime/base/unique_fd.h"

namespace kiln::targets::cuda {

// Why this GPU's memory cannot be shared; empty: it can.
[[nodiscard]] std::string cannot_share(const GpuDescription& gpu);

class SharedMemory {
 public:
  // At least so many bytes, readable and writable by the device. Throws DriverError.
  [[nodiscard]] static SharedMemory made(const Gpu& gpu, std::size_t bytes);
  // What another process exported, of the size that it asked for. Throws DriverError.
  [[nodiscard]] static SharedMemory imported(const Gpu& gpu, int fd, std::size_t bytes);
  ~SharedMemory();  // waits for what is under way in the context
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&&) = delete;

  // For another process's imported(). Throws DriverError.
  [[nodiscard]] UniqueFd exported() const;
  [[nodiscard]] kiln::cuda::DevicePointer address() const { return address_; }
  [[nodiscard]] std::byte* pointer(std::size_t offset = 0) const {
    return reinterpret_cast<std::byte*>(address_) + offset;
  }

 private:
  explicit SharedMemory(const kiln::cuda::DriverApi& api) : api_(&api) {}
  void map(int ordinal);

  const kiln::cuda::DriverApi* api_;
  kiln::cuda::Allocation allocation_ = 0;
  bool has_allocation_ = false, is_mapped_ = false;
  kiln::cuda::DevicePointer address_ = 0;  // 0: no address is reserved
  std::size_t bytes_ = 0;                  // of whole units of allocation
};

}  // namespace kiln::targets::cuda
