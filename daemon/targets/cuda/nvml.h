// NVML, found at run time: clocks, power, temperature and the reasons of a lowered clock, beside each sample.
// Everything is optional: without the library, or where a device does not tell, the value is absent and the report
// says so.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace kiln::targets::cuda {

// One look at a device. Sources: NVML API reference, nvmlDeviceGet*.
struct GpuReading {
  std::optional<std::uint32_t> sm_mhz, memory_mhz;
  std::optional<std::uint32_t> temperature_c;
  std::optional<std::uint32_t> power_mw;
  std::optional<std::uint64_t> energy_mj;         // since the driver was loaded
  std::optional<std::uint64_t> throttle_reasons;  // nvmlClocksEventReason bits; 0: none, 1: idle
};

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
  // `pci` as the driver API gives it. All values are absent for a device that NVML does not know.
  [[nodiscard]] GpuReading read(const std::string& pci) const;
  // Of read(), alone: each question takes about a millisecond of a GPU in a virtual machine.
  [[nodiscard]] std::optional<std::uint32_t> sm_mhz(const std::string& pci) const;
  [[nodiscard]] std::optional<std::uint64_t> energy(const std::string& pci) const;
  [[nodiscard]] GpuTraits traits(const std::string& pci) const;

 private:
  struct Api;
  explicit Nvml(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

}  // namespace kiln::targets::cuda
