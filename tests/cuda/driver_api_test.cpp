// Kiln's own declarations of the driver API against NVIDIA's header, where a toolkit is installed; and a node without
// a GPU.
#include <doctest/doctest.h>

#include "daemon/targets/cuda/detect.h"
#include "runtime/base/error.h"

#if __has_include(<cuda.h>)
#include <cuda.h>

#include <type_traits>
#endif

using namespace kiln;

#ifdef CUDA_VERSION
namespace {

using kiln::cuda::DeviceAttribute;
using kiln::cuda::FunctionAttribute;
using kiln::cuda::LaunchAttribute;
using kiln::cuda::LaunchConfig;

template <class Ours, class Theirs>
constexpr bool same(Ours ours, Theirs theirs) {
  return static_cast<int>(ours) == static_cast<int>(theirs);
}

static_assert(same(DeviceAttribute::max_threads_per_block, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK));
static_assert(same(DeviceAttribute::max_grid_x, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X));
static_assert(same(DeviceAttribute::shared_per_block, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK));
static_assert(same(DeviceAttribute::registers_per_block, CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK));
static_assert(same(DeviceAttribute::clock_khz, CU_DEVICE_ATTRIBUTE_CLOCK_RATE));
static_assert(same(DeviceAttribute::multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT));
static_assert(same(DeviceAttribute::compute_mode, CU_DEVICE_ATTRIBUTE_COMPUTE_MODE));
static_assert(same(DeviceAttribute::ecc, CU_DEVICE_ATTRIBUTE_ECC_ENABLED));
static_assert(same(DeviceAttribute::memory_clock_khz, CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE));
static_assert(same(DeviceAttribute::memory_bus_bits, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH));
static_assert(same(DeviceAttribute::l2_bytes, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE));
static_assert(same(DeviceAttribute::threads_per_multiprocessor, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR));
static_assert(same(DeviceAttribute::copy_engines, CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT));
static_assert(same(DeviceAttribute::compute_major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR));
static_assert(same(DeviceAttribute::compute_minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
static_assert(same(DeviceAttribute::shared_per_multiprocessor,
                   CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR));
static_assert(same(DeviceAttribute::registers_per_multiprocessor,
                   CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR));
static_assert(same(DeviceAttribute::cooperative_launch, CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH));
static_assert(same(DeviceAttribute::shared_per_block_optin, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN));
static_assert(same(DeviceAttribute::blocks_per_multiprocessor, CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR));
static_assert(same(DeviceAttribute::persisting_l2_bytes, CU_DEVICE_ATTRIBUTE_MAX_PERSISTING_L2_CACHE_SIZE));
static_assert(same(DeviceAttribute::reserved_shared_per_block, CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK));
static_assert(same(DeviceAttribute::cluster_launch, CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH));
static_assert(same(DeviceAttribute::tensor_maps, CU_DEVICE_ATTRIBUTE_TENSOR_MAP_ACCESS_SUPPORTED));
static_assert(same(DeviceAttribute::virtual_memory, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED));
static_assert(same(DeviceAttribute::shares_by_descriptor,
                   CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED));
static_assert(same(FunctionAttribute::shared_bytes, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES));
static_assert(same(FunctionAttribute::local_bytes, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES));
static_assert(same(FunctionAttribute::registers, CU_FUNC_ATTRIBUTE_NUM_REGS));
static_assert(same(FunctionAttribute::max_dynamic_shared_bytes, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES));
static_assert(same(FunctionAttribute::non_portable_cluster, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED));
static_assert(same(kiln::cuda::LaunchAttributeId::cooperative, CU_LAUNCH_ATTRIBUTE_COOPERATIVE));
static_assert(same(kiln::cuda::LaunchAttributeId::cluster_dimension, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION));
static_assert(same(kiln::cuda::LaunchAttributeId::programmatic_stream_serialization,
                   CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION));
static_assert(same(kiln::cuda::kOutOfMemory, CUDA_ERROR_OUT_OF_MEMORY) &&
              same(kiln::cuda::kNotSupported, CUDA_ERROR_NOT_SUPPORTED));
static_assert(kiln::cuda::kStreamNonBlocking == CU_STREAM_NON_BLOCKING);
static_assert(same(kiln::cuda::kCaptureThreadLocal, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));

static_assert(sizeof(LaunchAttribute) == sizeof(CUlaunchAttribute) &&
              alignof(LaunchAttribute) == alignof(CUlaunchAttribute));
static_assert(offsetof(LaunchAttribute, value) == offsetof(CUlaunchAttribute, value));
static_assert(sizeof(LaunchConfig) == sizeof(CUlaunchConfig));
static_assert(offsetof(LaunchConfig, shared_bytes) == offsetof(CUlaunchConfig, sharedMemBytes));
static_assert(offsetof(LaunchConfig, stream) == offsetof(CUlaunchConfig, hStream));
static_assert(offsetof(LaunchConfig, attributes) == offsetof(CUlaunchConfig, attrs));
static_assert(offsetof(LaunchConfig, attribute_count) == offsetof(CUlaunchConfig, numAttrs));
using kiln::cuda::AllocationProperties;
static_assert(sizeof(AllocationProperties) == sizeof(CUmemAllocationProp) &&
              offsetof(AllocationProperties, handle_types) == offsetof(CUmemAllocationProp, requestedHandleTypes) &&
              offsetof(AllocationProperties, location) == offsetof(CUmemAllocationProp, location) &&
              offsetof(AllocationProperties, win32_metadata) == offsetof(CUmemAllocationProp, win32HandleMetaData) &&
              offsetof(AllocationProperties, flags) == offsetof(CUmemAllocationProp, allocFlags));
static_assert(sizeof(kiln::cuda::MemoryLocation) == sizeof(CUmemLocation) &&
              offsetof(kiln::cuda::MemoryLocation, id) == offsetof(CUmemLocation, id) &&
              sizeof(kiln::cuda::MemoryAccess) == sizeof(CUmemAccessDesc) &&
              offsetof(kiln::cuda::MemoryAccess, flags) == offsetof(CUmemAccessDesc, flags) &&
              sizeof(kiln::cuda::Allocation) == sizeof(CUmemGenericAllocationHandle));
static_assert(same(kiln::cuda::kLocationDevice, CU_MEM_LOCATION_TYPE_DEVICE) &&
              same(kiln::cuda::kAllocationPinned, CU_MEM_ALLOCATION_TYPE_PINNED) &&
              same(kiln::cuda::kHandleDescriptor, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) &&
              same(kiln::cuda::kAccessReadWrite, CU_MEM_ACCESS_FLAGS_PROT_READWRITE) &&
              same(kiln::cuda::kGranularityMinimum, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
static_assert(sizeof(kiln::cuda::Uuid) == sizeof(CUuuid) && std::is_same_v<CUdevice, kiln::cuda::Device>);
static_assert(sizeof(CUdeviceptr) == sizeof(kiln::cuda::DevicePointer));

}  // namespace
#endif

TEST_CASE("an error of the driver says what was being done, and which errors end a process") {
  kiln::cuda::DriverApi api;
  api.cuGetErrorName = [](kiln::cuda::Result, const char** text) {
    *text = "CUDA_ERROR_ILLEGAL_ADDRESS";
    return 0;
  };
  api.cuGetErrorString = [](kiln::cuda::Result, const char** text) {
    *text = "an illegal memory access";
    return 0;
  };
  CHECK_THROWS_WITH_AS(kiln::cuda::check(api, 700, "run the kernel"),
                       "cannot run the kernel: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access",
                       kiln::cuda::DriverError);
  CHECK_NOTHROW(kiln::cuda::check(api, kiln::cuda::kSuccess, "run the kernel"));
  CHECK(kiln::cuda::is_sticky(700));
  CHECK_FALSE(kiln::cuda::is_sticky(kiln::cuda::kOutOfMemory));
}

TEST_CASE("a node without a driver has no CUDA device, and says so") {
  try {
    const kiln::cuda::DriverApi api = kiln::cuda::load_driver();
    const targets::cuda::NodeDescription node = targets::cuda::detect(api);
    CHECK_FALSE(node.gpus.empty());  // with a driver it is a node with a device
    for (const targets::cuda::GpuDescription& gpu : node.gpus) {
      CHECK(gpu.multiprocessors > 0);
      CHECK(gpu.architecture.starts_with("sm_"));
      CHECK(gpu.uuid.size() == 40);
    }
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::unavailable);
    CHECK(std::string(error.what()).find("no CUDA device") != std::string::npos);
  }
}
