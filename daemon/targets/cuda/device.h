// One GPU in use: its context, a stream, memory, and time by its own clock. One thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/targets/cuda/detect.h"
#include "daemon/targets/cuda/nvml.h"
#include "runtime/cuda/driver.h"

namespace kiln::targets::cuda {

class DeviceMemory;

inline constexpr double kEnergyStepNs = 1e8;  // NVML counts ten times a second or more often

// Launches that one call puts on a stream together, a CUDA graph; given back with its scope.
class DeviceGraph {
 public:
  DeviceGraph(const kiln::cuda::DriverApi& api, kiln::cuda::Graph recorded);
  ~DeviceGraph();
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;

  [[nodiscard]] kiln::cuda::GraphExec launchable() const { return launchable_; }

 private:
  const kiln::cuda::DriverApi* api_;
  kiln::cuda::GraphExec launchable_ = nullptr;
};

class Gpu {
 public:
  // Makes the primary context of the device current on this thread. Throws Error(unavailable) or DriverError.
  explicit Gpu(std::int32_t ordinal);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  [[nodiscard]] const kiln::cuda::DriverApi& api() const { return api_; }
  [[nodiscard]] const GpuDescription& description() const { return description_; }
  [[nodiscard]] const NodeDescription& node() const { return node_; }
  [[nodiscard]] kiln::cuda::Stream stream() const { return stream_; }
  // Nothing where NVML does not tell.
  [[nodiscard]] std::optional<std::uint32_t> sm_mhz() const;
  [[nodiscard]] bool counts_energy() const;
  // That the GPU took since its driver was loaded. Throws Error(unavailable) where NVML does not tell.
  [[nodiscard]] std::uint64_t microjoules() const;

  [[nodiscard]] DeviceMemory allocate(std::size_t bytes) const;
  void synchronize() const;

  // Copies in order with the stream, and returns when the bytes are there. The synchronous copies of the driver are no
  // match for a stream of its own: from pageable memory they return while their last part is under way.
  void copy_in(kiln::cuda::DevicePointer to, std::span<const std::byte> from) const;
  void copy_out(std::span<std::byte> to, kiln::cuda::DevicePointer from) const;

  // Overwrites more than twice the second-level cache and gives back what persists there.
  void flush_l2();

  // What `work` puts on stream(), recorded, so that nothing runs before it is launched. What `work` throws goes on.
  template <class Work>
  [[nodiscard]] DeviceGraph recorded(Work work) {
    begin_recording();
    try {
      work();
    } catch (...) {
      drop_recording();  // or the stream would take nothing else
      throw;
    }
    return end_recording();
  }
  void launch(const DeviceGraph& graph) const;

  // What `work` puts on stream() takes, in nanoseconds of the device's clock. The stream is held back until
  // everything is on it, so that the host's time to launch is no part of it; `launches` is how many launches that
  // are.
  template <class Work>
  [[nodiscard]] double time_ns(int launches, Work work) {
    begin(launches);
    try {
      work();
    } catch (...) {
      let_go();  // or the stream, and whoever waits for it, would stand still
      throw;
    }
    return end();
  }

 private:
  void begin_recording();
  void drop_recording();
  [[nodiscard]] DeviceGraph end_recording();
  void begin(int launches);
  [[nodiscard]] double end();
  void hold();
  void let_go();

  const kiln::cuda::DriverApi api_;
  NodeDescription node_;
  GpuDescription description_;
  std::unique_ptr<Nvml> nvml_;
  kiln::cuda::Device device_ = 0;
  kiln::cuda::Stream stream_ = nullptr;
  kiln::cuda::Event begin_ = nullptr, end_ = nullptr;
  std::unique_ptr<DeviceMemory> flush_;
  volatile std::uint32_t* gate_ = nullptr;  // pinned; the stream waits until it is 1
  kiln::cuda::DevicePointer gate_address_ = 0;
  bool holding_ = false;
};

// Memory of the device; freed with its scope.
class DeviceMemory {
 public:
  DeviceMemory(const kiln::cuda::DriverApi& api, std::size_t bytes);
  ~DeviceMemory();
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&&) = delete;

  [[nodiscard]] kiln::cuda::DevicePointer address() const { return address_; }
  [[nodiscard]] void* pointer(std::size_t offset = 0) const { return reinterpret_cast<void*>(address_ + offset); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  const kiln::cuda::DriverApi* api_;
  kiln::cuda::DevicePointer address_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace kiln::targets::cuda
