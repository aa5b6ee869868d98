#include "daemon/targets/cuda/nvml.h"

#include <dlfcn.h>

namespace kiln::targets::cuda {
namespace {

using Device = struct NvmlDeviceTag*;          // nvmlDevice_t
constexpr int kSuccess = 0;          // nvmlReturn_t
constexpr int kSmClock = 1;          // nvmlClockType_t
constexpr unsigned kMostLinks = 18;  // NVML_NVLINK_MAX_LINKS

template <class Function>
bool find(void* library, const char* symbol, Function& out) {
  void* address = ::dlsym(library, symbol);
  out = reinterpret_cast<Function>(address);
  return address != nullptr;
}

}  // namespace

// Names and types of the NVML API reference, release 12. Members may be null: older drivers lack some.
struct Nvml::Api {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*driver_version)(char* text, unsigned length) = nullptr;
  int (*by_pci)(const char* pci, Device*) = nullptr;
  int (*clock)(Device, int type, unsigned* mhz) = nullptr;
  int (*energy)(Device, unsigned long long* millijoules) = nullptr;
  int (*mig_mode)(Device, unsigned* current, unsigned* pending) = nullptr;
  int (*pcie_generation)(Device, unsigned*) = nullptr;
  int (*pcie_width)(Device, unsigned*) = nullptr;
  int (*nvlink_state)(Device, unsigned link, unsigned* active) = nullptr;

  bool load(void* library) {
    if (!find(library, "nvmlInit_v2", init) || !find(library, "nvmlShutdown", shutdown) ||
        !find(library, "nvmlDeviceGetHandleByPciBusId_v2", by_pci))
      return false;
    (void)find(library, "nvmlSystemGetDriverVersion",
               driver_version);  // ignoring absence, here and below: see the members
    (void)find(library, "nvmlDeviceGetClockInfo", clock);
    (void)find(library, "nvmlDeviceGetTotalEnergyConsumption", energy);
    (void)find(library, "nvmlDeviceGetMigMode", mig_mode);
    (void)find(library, "nvmlDeviceGetCurrPcieLinkGeneration", pcie_generation);
    (void)find(library, "nvmlDeviceGetCurrPcieLinkWidth", pcie_width);
    (void)find(library, "nvmlDeviceGetNvLinkState", nvlink_state);
    return true;
  }

  [[nodiscard]] Device device(const std::string& pci) const {
    Device found = nullptr;
    return by_pci(pci.c_str(), &found) == kSuccess ? found : nullptr;
  }

  // The value of a call with one result, where the function exists and succeeds.
  template <class Value>
  static std::optional<Value> ask(int (*function)(Device, Value*), Device device) {
    Value value{};
    if (!function || function(device, &value) != kSuccess) return std::nullopt;
    return value;
  }
  template <class Key>
  static std::optional<unsigned> ask(int (*function)(Device, Key, unsigned*), Device device, Key key) {
    unsigned value = 0;
    if (!function || function(device, key, &value) != kSuccess) return std::nullopt;
    return value;
  }
};

Nvml::Nvml(std::unique_ptr<Api> api) : api_(std::move(api)) {}
Nvml::~Nvml() { (void)api_->shutdown(); }  // ignoring: the process goes on without it

std::unique_ptr<Nvml> Nvml::open() {
  void* library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return nullptr;
  auto api = std::make_unique<Api>();
  if (!api->load(library) || api->init() != kSuccess) return nullptr;
  return std::unique_ptr<Nvml>(new Nvml(std::move(api)));
}

std::string Nvml::driver_release() const {
  char text[96] = {};
  if (!api_->driver_version || api_->driver_version(text, sizeof text) != kSuccess) return {};
  return text;
}

std::optional<std::uint32_t> Nvml::sm_mhz(const std::string& pci) const {
  const Device device = api_->device(pci);
  if (!device) return std::nullopt;
  return Api::ask(api_->clock, device, kSmClock);
}

std::optional<std::uint64_t> Nvml::energy_mj(const std::string& pci) const {
  const Device device = api_->device(pci);
  if (!device) return std::nullopt;
  return Api::ask(api_->energy, device);
}

GpuTraits Nvml::traits(const std::string& pci) const {
  GpuTraits out;
  const Device device = api_->device(pci);
  if (!device) return out;
  unsigned current = 0, pending = 0;
  if (api_->mig_mode && api_->mig_mode(device, &current, &pending) == kSuccess) out.mig = current != 0;
  out.pcie_generation = Api::ask(api_->pcie_generation, device);
  out.pcie_width = Api::ask(api_->pcie_width, device);
  for (unsigned link = 0; link < kMostLinks; ++link)
    if (Api::ask(api_->nvlink_state, device, link).value_or(0) != 0) ++out.nvlinks;
  return out;
}

}  // namespace kiln::targets::cuda
