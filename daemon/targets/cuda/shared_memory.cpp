#include "daemon/targets/cuda/shared_memory.h"

#include <cstdint>
#include <utility>

namespace kiln::targets::cuda {

using kiln::cuda::check;

namespace {

kiln::cuda::AllocationProperties properties_of(int ordinal) {
  kiln::cuda::AllocationProperties properties{};
  properties.type = kiln::cuda::kAllocationPinned;
  properties.handle_types = kiln::cuda::kHandleDescriptor;
  properties.location = {kiln::cuda::kLocationDevice, ordinal};
  return properties;
}

std::size_t whole_units(const kiln::cuda::DriverApi& api, int ordinal, std::size_t bytes) {
  const kiln::cuda::AllocationProperties properties = properties_of(ordinal);
  std::size_t unit = 0;
  check(api, api.cuMemGetAllocationGranularity(&unit, &properties, kiln::cuda::kGranularityMinimum),
        "ask for the unit of device memory");
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

std::string cannot_share(const GpuDescription& gpu) {
  if (!gpu.virtual_memory) return "the driver does not map memory of " + gpu.name;
  if (!gpu.shares_by_descriptor) return "the driver shares no memory of " + gpu.name + " by a descriptor";
  return {};
}

SharedMemory SharedMemory::made(const Gpu& gpu, std::size_t bytes) {
  SharedMemory memory(gpu.api());
  const int ordinal = gpu.description().ordinal;
  memory.bytes_ = whole_units(gpu.api(), ordinal, bytes);
  const kiln::cuda::AllocationProperties properties = properties_of(ordinal);
  check(gpu.api(), gpu.api().cuMemCreate(&memory.allocation_, memory.bytes_, &properties, 0),
        "make device memory to share");
  memory.has_allocation_ = true;
  memory.map(ordinal);
  return memory;
}

SharedMemory SharedMemory::imported(const Gpu& gpu, int fd, std::size_t bytes) {
  SharedMemory memory(gpu.api());
  const int ordinal = gpu.description().ordinal;
  memory.bytes_ = whole_units(gpu.api(), ordinal, bytes);
  // The descriptor stands in the place of a pointer (CUDA Driver API, cuMemImportFromShareableHandle).
  void* const handle = reinterpret_cast<void*>(static_cast<std::intptr_t>(fd));
  check(gpu.api(),
        gpu.api().cuMemImportFromShareableHandle(&memory.allocation_, handle, kiln::cuda::kHandleDescriptor),
        "take over shared device memory");
  memory.has_allocation_ = true;
  memory.map(ordinal);
  return memory;
}

void SharedMemory::map(int ordinal) {
  check(*api_, api_->cuMemAddressReserve(&address_, bytes_, 0, 0, 0), "reserve addresses of device memory");
  check(*api_, api_->cuMemMap(address_, bytes_, 0, allocation_, 0), "map shared device memory");
  is_mapped_ = true;
  const kiln::cuda::MemoryAccess access = {{kiln::cuda::kLocationDevice, ordinal}, kiln::cuda::kAccessReadWrite};
  check(*api_, api_->cuMemSetAccess(address_, bytes_, &access, 1), "open shared device memory");
}

UniqueFd SharedMemory::exported() const {
  int fd = -1;
  check(*api_, api_->cuMemExportToShareableHandle(&fd, allocation_, kiln::cuda::kHandleDescriptor, 0),
        "share device memory");
  return UniqueFd(fd);
}

SharedMemory::~SharedMemory() {
  // Ignoring results: after a fault nothing can be given back, and it goes with the process. Unmapping waits for
  // nobody: a call that is still at work would fault.
  if (is_mapped_) (void)api_->cuCtxSynchronize();
  if (is_mapped_) (void)api_->cuMemUnmap(address_, bytes_);
  if (address_ != 0) (void)api_->cuMemAddressFree(address_, bytes_);
  if (has_allocation_) (void)api_->cuMemRelease(allocation_);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : api_(other.api_),
      allocation_(other.allocation_),
      has_allocation_(std::exchange(other.has_allocation_, false)),
      is_mapped_(std::exchange(other.is_mapped_, false)),
      address_(std::exchange(other.address_, 0)),
      bytes_(other.bytes_) {}

}  // namespace kiln::targets::cuda
