#include "daemon/targets/cuda/detect.h"

#include <fmt/format.h>

#include "daemon/targets/cuda/compile.h"
#include "daemon/targets/cuda/nvml.h"

namespace kiln::targets::cuda {
namespace {

using kiln::cuda::check;
using kiln::cuda::Device;
using kiln::cuda::DeviceAttribute;
using kiln::cuda::DriverApi;

// Which attribute of the driver's a figure of the description is.
template <class Field>
struct Attribute {
  Field GpuDescription::*field;
  DeviceAttribute which;
};
constexpr Attribute<std::int32_t> kCounts[] = {
    {&GpuDescription::compute_major, DeviceAttribute::compute_major},
    {&GpuDescription::compute_minor, DeviceAttribute::compute_minor},
    {&GpuDescription::multiprocessors, DeviceAttribute::multiprocessors},
    {&GpuDescription::threads_per_multiprocessor, DeviceAttribute::threads_per_multiprocessor},
    {&GpuDescription::blocks_per_multiprocessor, DeviceAttribute::blocks_per_multiprocessor},
    {&GpuDescription::registers_per_multiprocessor, DeviceAttribute::registers_per_multiprocessor},
    {&GpuDescription::registers_per_block, DeviceAttribute::registers_per_block},
    {&GpuDescription::clock_khz, DeviceAttribute::clock_khz},
    {&GpuDescription::memory_clock_khz, DeviceAttribute::memory_clock_khz},
    {&GpuDescription::memory_bus_bits, DeviceAttribute::memory_bus_bits},
    {&GpuDescription::copy_engines, DeviceAttribute::copy_engines},
};
constexpr Attribute<std::int64_t> kSizes[] = {
    {&GpuDescription::shared_per_multiprocessor_bytes, DeviceAttribute::shared_per_multiprocessor},
    {&GpuDescription::shared_per_block_bytes, DeviceAttribute::shared_per_block_optin},
    {&GpuDescription::l2_bytes, DeviceAttribute::l2_bytes},
    {&GpuDescription::persisting_l2_bytes, DeviceAttribute::persisting_l2_bytes},
};
constexpr Attribute<bool> kAbilities[] = {
    {&GpuDescription::ecc, DeviceAttribute::ecc},
    {&GpuDescription::cluster_launch, DeviceAttribute::cluster_launch},
    {&GpuDescription::cooperative_launch, DeviceAttribute::cooperative_launch},
    {&GpuDescription::tensor_maps, DeviceAttribute::tensor_maps},
    {&GpuDescription::virtual_memory, DeviceAttribute::virtual_memory},
    {&GpuDescription::shares_by_descriptor, DeviceAttribute::shares_by_descriptor},
};

std::string uuid_text(const kiln::cuda::Uuid& uuid) {
  std::string out = "GPU-";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return out;
}

GpuDescription describe_gpu(const DriverApi& api, Device device, std::int32_t ordinal) {
  // An attribute that this driver does not know is one that the device does not have.
  const auto attribute = [&](DeviceAttribute which) {
    int value = 0;
    return api.cuDeviceGetAttribute(&value, which, device) == kiln::cuda::kSuccess ? value : 0;
  };
  GpuDescription gpu;
  gpu.ordinal = ordinal;
  char text[256] = {};
  check(api, api.cuDeviceGetName(text, sizeof text, device), "ask for a device's name");
  gpu.name = text;
  check(api, api.cuDeviceGetPCIBusId(text, sizeof text, device), "ask for a device's bus");
  gpu.pci = text;
  kiln::cuda::Uuid uuid{};
  check(api, api.cuDeviceGetUuid_v2(&uuid, device), "ask for a device's identity");
  gpu.uuid = uuid_text(uuid);
  std::size_t memory = 0;
  check(api, api.cuDeviceTotalMem_v2(&memory, device), "ask for a device's memory");
  gpu.memory_bytes = static_cast<std::int64_t>(memory);
  for (const auto& [field, which] : kCounts) gpu.*field = attribute(which);
  for (const auto& [field, which] : kSizes) gpu.*field = attribute(which);
  for (const auto& [field, which] : kAbilities) gpu.*field = attribute(which) != 0;
  gpu.architecture = architecture_of(gpu.compute_major, gpu.compute_minor);
  gpu.mig = gpu.name.find("MIG") != std::string::npos;  // a slice is named so; the whole GPU is asked through NVML
  return gpu;
}

void add_traits(const Nvml& nvml, GpuDescription& gpu) {
  const GpuTraits traits = nvml.traits(gpu.pci);
  gpu.mig = gpu.mig || traits.mig.value_or(false);
  gpu.nvlinks = traits.nvlinks;
  gpu.pcie_generation = static_cast<std::int32_t>(traits.pcie_generation.value_or(0));
  gpu.pcie_width = static_cast<std::int32_t>(traits.pcie_width.value_or(0));
}

}  // namespace

NodeDescription detect(const DriverApi& api) {
  NodeDescription node;
  check(api, api.cuDriverGetVersion(&node.driver_version), "ask for the driver's version");
  int count = 0;
  check(api, api.cuDeviceGetCount(&count), "count devices");
  std::vector<Device> devices(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    check(api, api.cuDeviceGet(&devices[static_cast<std::size_t>(i)], i), "ask for a device");
    node.gpus.push_back(describe_gpu(api, devices[static_cast<std::size_t>(i)], i));
  }
  for (GpuDescription& gpu : node.gpus) {
    for (int other = 0; other < count; ++other) {
      int reaches = 0;
      if (other == gpu.ordinal) continue;
      check(api,
            api.cuDeviceCanAccessPeer(&reaches, devices[static_cast<std::size_t>(gpu.ordinal)],
                                      devices[static_cast<std::size_t>(other)]),
            "ask for a device's peers");
      if (reaches != 0) gpu.peers.push_back(other);
    }
  }
  if (const std::unique_ptr<Nvml> nvml = Nvml::open()) {
    node.driver_release = nvml->driver_release();
    for (GpuDescription& gpu : node.gpus) add_traits(*nvml, gpu);
  }
  return node;
}

}  // namespace kiln::targets::cuda
