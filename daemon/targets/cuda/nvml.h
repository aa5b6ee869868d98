// NVML, found at run time: the clock beside each sample, energy, and what a device is. Everything is optional: without
// the library, or where a device does not tell, the value is absent and the report says so.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace kiln::targets::cuda {

// What does not change while the driver is loaded.
struct GpuTraits {
  std::optional<bool> mig;
  std::optional<std::uint32_t> pcie_generation, pcie_width;
  std::int32_t nvlinks = 0;  // active ones
};

class Nvml {
 public:
  // Null when the library is not there or does not start.
  [[nodiscard]] static std::unique_ptr<Nvml> open();
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  [[nodiscard]] std::string driver_release() const;
  // `pci` as the driver API gives it; absent for a device that NVML does not know. Each question takes about a
  // millisecond of a GPU in a virtual machine. Sources: NVML API reference, nvmlDeviceGet*.
  [[nodiscard]] std::optional<std::uint32_t> sm_mhz(const std::string& pci) const;
  [[nodiscard]] std::optional<std::uint64_t> energy_mj(const std::string& pci) const;  // since the driver was loaded
  [[nodiscard]] GpuTraits traits(const std::string& pci) const;

 private:
  struct Api;
  explicit Nvml(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

}  // namespace kiln::targets::cuda
