// The part of the CUDA driver API that Kiln calls, declared by hand so that no toolkit is needed to build. Names,
// types, enumerators and exported symbols ("_v2") are those of the CUDA Driver API reference manual, version 13.0;
// all of them exist since driver 525 (CUDA 12.0). tests/cuda/driver_api_test.cpp compares them with cuda.h where a
// toolkit is installed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kiln::cuda {

using Result = int;  // CUresult
inline constexpr Result kSuccess = 0;
inline constexpr Result kInvalidValue = 1;
inline constexpr Result kOutOfMemory = 2;
inline constexpr Result kNotSupported = 801;

using Device = int;                      // CUdevice, an ordinal
using Context = struct ContextTag*;      // CUcontext
using Module = struct ModuleTag*;        // CUmodule
using Function = struct FunctionTag*;    // CUfunction
using Stream = struct StreamTag*;        // CUstream; null is the default stream
using Event = struct EventTag*;          // CUevent
using Graph = struct GraphTag*;          // CUgraph
using GraphExec = struct GraphExecTag*;  // CUgraphExec
using DevicePointer = std::uint64_t;     // CUdeviceptr

struct Uuid {
  char bytes[16];
};  // CUuuid

// CUdevice_attribute
enum class DeviceAttribute : int {
  max_threads_per_block = 1,
  max_grid_x = 5,
  shared_per_block = 8,
  registers_per_block = 12,
  clock_khz = 13,
  multiprocessors = 16,
  compute_mode = 20,
  ecc = 32,
  memory_clock_khz = 36,
  memory_bus_bits = 37,
  l2_bytes = 38,
  threads_per_multiprocessor = 39,
  copy_engines = 40,
  compute_major = 75,
  compute_minor = 76,
  shared_per_multiprocessor = 81,
  registers_per_multiprocessor = 82,
  cooperative_launch = 95,
  shared_per_block_optin = 97,
  virtual_memory = 102,
  shares_by_descriptor = 103,
  blocks_per_multiprocessor = 106,
  persisting_l2_bytes = 108,
  reserved_shared_per_block = 111,
  cluster_launch = 120,
  tensor_maps = 127,
};

// CUfunction_attribute
enum class FunctionAttribute : int {
  max_threads_per_block = 0,
  shared_bytes = 1,
  local_bytes = 3,
  registers = 4,
  max_dynamic_shared_bytes = 8,
  non_portable_cluster = 14,
};

// CUlaunchAttribute: an identifier and a union of 64 bytes, of which Kiln uses three members.
enum class LaunchAttributeId : int { cooperative = 2, cluster_dimension = 4, programmatic_stream_serialization = 6 };
struct alignas(8) LaunchAttribute {
  LaunchAttributeId id;
  char padding[8 - sizeof(int)];
  union {
    char bytes[64];
    struct {
      unsigned x, y, z;
    } cluster;
    int programmatic;
    int cooperative;
  } value;
};

struct LaunchConfig {  // CUlaunchConfig
  unsigned grid_x, grid_y, grid_z;
  unsigned block_x, block_y, block_z;
  unsigned shared_bytes;
  Stream stream;
  LaunchAttribute* attributes;
  unsigned attribute_count;
};

// Memory that is made, shared between processes by a file descriptor, and mapped (CUDA Driver API, "Virtual Memory
// Management").
using Allocation = unsigned long long;  // CUmemGenericAllocationHandle
struct MemoryLocation {                 // CUmemLocation
  int type;                             // kLocationDevice
  int id;                               // the device's ordinal
};
struct AllocationProperties {  // CUmemAllocationProp
  int type;                    // kAllocationPinned
  int handle_types;            // kHandleDescriptor
  MemoryLocation location;
  void* win32_metadata;
  struct {
    unsigned char compression, gpu_direct_rdma;
    unsigned short usage;
    unsigned char reserved[4];
  } flags;
};
struct MemoryAccess {  // CUmemAccessDesc
  MemoryLocation location;
  int flags;  // kAccessReadWrite
};
inline constexpr int kLocationDevice = 1;      // CU_MEM_LOCATION_TYPE_DEVICE
inline constexpr int kAllocationPinned = 1;    // CU_MEM_ALLOCATION_TYPE_PINNED
inline constexpr int kHandleDescriptor = 1;    // CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
inline constexpr int kAccessReadWrite = 3;     // CU_MEM_ACCESS_FLAGS_PROT_READWRITE
inline constexpr int kGranularityMinimum = 0;  // CU_MEM_ALLOC_GRANULARITY_MINIMUM

inline constexpr unsigned kStreamNonBlocking = 1;  // CU_STREAM_NON_BLOCKING
inline constexpr int kCaptureThreadLocal = 1;      // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL

// X(exported symbol, parameters): every function returns a Result.
#define KILN_CUDA_DRIVER_FUNCTIONS(X)                                                                       \
  X(cuInit, (unsigned flags))                                                                               \
  X(cuDriverGetVersion, (int* version))                                                                     \
  X(cuGetErrorName, (Result, const char** text))                                                            \
  X(cuGetErrorString, (Result, const char** text))                                                          \
  X(cuDeviceGetCount, (int* count))                                                                         \
  X(cuDeviceGet, (Device*, int ordinal))                                                                    \
  X(cuDeviceGetName, (char* name, int length, Device))                                                      \
  X(cuDeviceGetUuid_v2, (Uuid*, Device))                                                                    \
  X(cuDeviceGetPCIBusId, (char* id, int length, Device))                                                    \
  X(cuDeviceGetAttribute, (int* value, DeviceAttribute, Device))                                            \
  X(cuDeviceTotalMem_v2, (std::size_t * bytes, Device))                                                     \
  X(cuDeviceCanAccessPeer, (int* can, Device, Device peer))                                                 \
  X(cuDevicePrimaryCtxRetain, (Context*, Device))                                                           \
  X(cuDevicePrimaryCtxRelease_v2, (Device))                                                                 \
  X(cuCtxGetCurrent, (Context*))                                                                            \
  X(cuCtxSetCurrent, (Context))                                                                             \
  X(cuCtxGetDevice, (Device*))                                                                              \
  X(cuCtxSynchronize, ())                                                                                   \
  X(cuCtxResetPersistingL2Cache, ())                                                                        \
  X(cuMemGetInfo_v2, (std::size_t * free, std::size_t * total))                                             \
  X(cuMemAlloc_v2, (DevicePointer*, std::size_t bytes))                                                     \
  X(cuMemFree_v2, (DevicePointer))                                                                          \
  X(cuMemAllocHost_v2, (void**, std::size_t bytes))                                                         \
  X(cuMemFreeHost, (void*))                                                                                 \
  X(cuMemcpyHtoD_v2, (DevicePointer to, const void* from, std::size_t bytes))                               \
  X(cuMemcpyDtoH_v2, (void* to, DevicePointer from, std::size_t bytes))                                     \
  X(cuMemcpyHtoDAsync_v2, (DevicePointer to, const void* from, std::size_t bytes, Stream))                  \
  X(cuMemcpyDtoDAsync_v2, (DevicePointer to, DevicePointer from, std::size_t bytes, Stream))                \
  X(cuStreamWaitValue32_v2, (Stream, DevicePointer address, std::uint32_t value, unsigned flags))           \
  X(cuMemHostGetDevicePointer_v2, (DevicePointer*, void* host, unsigned flags))                             \
  X(cuMemcpyPeerAsync, (DevicePointer to, Context, DevicePointer from, Context, std::size_t bytes, Stream)) \
  X(cuMemsetD8Async, (DevicePointer, unsigned char value, std::size_t bytes, Stream))                       \
  X(cuMemGetAllocationGranularity, (std::size_t * bytes, const AllocationProperties*, int option))          \
  X(cuMemCreate, (Allocation*, std::size_t bytes, const AllocationProperties*, unsigned long long flags))   \
  X(cuMemRelease, (Allocation))                                                                             \
  X(cuMemExportToShareableHandle, (void* handle, Allocation, int type, unsigned long long flags))           \
  X(cuMemImportFromShareableHandle, (Allocation*, void* handle, int type))                                  \
  X(cuMemAddressReserve, (DevicePointer*, std::size_t, std::size_t, DevicePointer, unsigned long long))     \
  X(cuMemAddressFree, (DevicePointer, std::size_t bytes))                                                   \
  X(cuMemMap, (DevicePointer, std::size_t bytes, std::size_t offset, Allocation, unsigned long long))       \
  X(cuMemUnmap, (DevicePointer, std::size_t bytes))                                                         \
  X(cuMemSetAccess, (DevicePointer, std::size_t bytes, const MemoryAccess*, std::size_t count))             \
  X(cuModuleLoadData, (Module*, const void* image))                                                         \
  X(cuModuleUnload, (Module))                                                                               \
  X(cuModuleGetFunction, (Function*, Module, const char* name))                                             \
  X(cuFuncGetAttribute, (int* value, FunctionAttribute, Function))                                          \
  X(cuFuncSetAttribute, (Function, FunctionAttribute, int value))                                           \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor,                                                            \
    (int* blocks, Function, int block_threads, std::size_t shared_bytes))                                   \
  X(cuLaunchKernelEx, (const LaunchConfig*, Function, void** parameters, void** extra))                     \
  X(cuStreamCreate, (Stream*, unsigned flags))                                                              \
  X(cuStreamDestroy_v2, (Stream))                                                                           \
  X(cuStreamSynchronize, (Stream))                                                                          \
  X(cuStreamBeginCapture_v2, (Stream, int mode))                                                            \
  X(cuStreamEndCapture, (Stream, Graph*))                                                                   \
  X(cuGraphInstantiateWithFlags, (GraphExec*, Graph, unsigned long long flags))                             \
  X(cuGraphLaunch, (GraphExec, Stream))                                                                     \
  X(cuGraphExecDestroy, (GraphExec))                                                                        \
  X(cuGraphDestroy, (Graph))                                                                                \
  X(cuEventCreate, (Event*, unsigned flags))                                                                \
  X(cuEventRecord, (Event, Stream))                                                                         \
  X(cuEventSynchronize, (Event))                                                                            \
  X(cuEventElapsedTime, (float* milliseconds, Event begin, Event end))                                      \
  X(cuEventDestroy_v2, (Event))

struct DriverApi {
#define KILN_MEMBER(symbol, parameters) Result(*symbol) parameters = nullptr;
  KILN_CUDA_DRIVER_FUNCTIONS(KILN_MEMBER)
#undef KILN_MEMBER
};

}  // namespace kiln::cuda
