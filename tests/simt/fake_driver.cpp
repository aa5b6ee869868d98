// A libcuda.so.1 that runs "cubins" on the CPU: code objects are shared libraries of generated kernels compiled with
// KILN_EMULATION, device memory is the host's, and a stream does its work at once unless it is capturing. So
// everything above the driver, from libkiln to a whole job, is tested on machines without a GPU. The device calls
// itself compute capability 9.0.
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/cuda/driver_api.h"
#include "tests/simt/block.h"

namespace kiln::cuda {

struct ContextTag {};
struct ModuleTag {
  void* library;
  int fd;  // open as long as the library: the loader knows a library by its path, which is that of the descriptor
};
struct FunctionTag {
  simt::Kernel kernel;
  std::size_t arguments;
};
struct Recorded {
  simt::Kernel kernel;
  simt::Grid grid;
  std::vector<void*> arguments;
};
struct GraphTag {
  std::vector<Recorded> launches;
};
struct GraphExecTag {
  std::vector<Recorded> launches;
};
struct StreamTag {
  bool capturing = false;
  bool waits_for_default = true;
  GraphTag* graph = nullptr;
};
struct EventTag {
  double ns = 0;
};

namespace {

constexpr Result kInvalidImage = 200, kNotFound = 500, kInvalidContext = 201, kCaptureUnsupported = 900;

ContextTag primary;
thread_local Context current = nullptr;
std::atomic<int> capturing{0};  // streams that record: memory may not be taken meanwhile, as on a GPU

double now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

void run(const Recorded& launch) {
  simt::run(launch.kernel, launch.arguments.data(), launch.grid, simt::Order::forward);
}

// A copy from pageable memory returns when its bytes are staged; the default stream brings them to the device, and a
// stream that was made not to wait for that one (CUDA Driver API, "API synchronization behavior") meets what was there
// before.
struct Copy {
  DevicePointer to = 0;
  std::vector<std::byte> bytes;
};
Copy under_way;

void land() {
  if (under_way.to != 0)
    std::memcpy(reinterpret_cast<void*>(under_way.to), under_way.bytes.data(), under_way.bytes.size());
  under_way = {};
}

void wait_as(Stream stream) {
  if (!stream || stream->waits_for_default) land();
}

// From the ELF header: the sections' table is the last thing in what the linker writes.
std::size_t image_bytes(const void* image) {
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return 0;
  return header.e_shoff + std::size_t{header.e_shnum} * header.e_shentsize;
}

}  // namespace

#ifdef KILN_FAKE_QUICK
constexpr int kCacheBytes = 1 << 18;  // which 32 sets of a test's small tensors are larger than
#else
constexpr int kCacheBytes = 1 << 20;
#endif

extern "C" {

Result cuInit(unsigned) {
  // The kernels' libraries find the fibres in this one.
  Dl_info self{};
  if (::dladdr(reinterpret_cast<void*>(&cuInit), &self) == 0 ||
      !::dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL))
    return 999;
  return 0;
}
int kiln_fake_driver_version = 13000;          // a test may set it
long kiln_fake_programmatic_launches = 0;      // that were asked for
Result cuDriverGetVersion(int* version) { return *version = kiln_fake_driver_version, 0; }
Result cuGetErrorName(Result result, const char** text) {
  *text = result == 0               ? "CUDA_SUCCESS"
          : result == kInvalidImage ? "CUDA_ERROR_INVALID_IMAGE"
                                    : "CUDA_ERROR_OF_THE_FAKE_DRIVER";
  return 0;
}
Result cuGetErrorString(Result, const char** text) { return *text = "an error of the fake driver", 0; }
Result cuDeviceGetCount(int* count) { return *count = 1, 0; }
Result cuDeviceGet(Device* device, int ordinal) { return *device = ordinal, ordinal == 0 ? 0 : 101; }
Result cuDeviceGetName(char* name, int length, Device) {
  return std::strncpy(name, "GPU of the fake driver", static_cast<std::size_t>(length)), 0;
}
Result cuDeviceGetUuid_v2(Uuid* uuid, Device) { return *uuid = {}, 0; }
Result cuDeviceGetPCIBusId(char* id, int length, Device) {
  return std::strncpy(id, "0000:00:00.0", static_cast<std::size_t>(length)), 0;
}
Result cuDeviceGetAttribute(int* value, DeviceAttribute attribute, Device) {
  switch (attribute) {
    case DeviceAttribute::compute_major:
      return *value = 9, 0;
    case DeviceAttribute::multiprocessors:
      return *value = 4, 0;
    case DeviceAttribute::threads_per_multiprocessor:
      return *value = 2048, 0;
    case DeviceAttribute::blocks_per_multiprocessor:
      return *value = 32, 0;
    case DeviceAttribute::registers_per_multiprocessor:
      return *value = 65536, 0;
    case DeviceAttribute::shared_per_multiprocessor:
      return *value = 228 << 10, 0;
    case DeviceAttribute::shared_per_block_optin:
      return *value = 227 << 10, 0;
    case DeviceAttribute::l2_bytes:
      return *value = kCacheBytes, 0;
    case DeviceAttribute::virtual_memory:
    case DeviceAttribute::shares_by_descriptor:
      return *value = 1, 0;
    case DeviceAttribute::cluster_launch:
      return *value = 0, 0;
    default:
      return *value = 0, 0;
  }
}
Result cuDeviceTotalMem_v2(std::size_t* bytes, Device) { return *bytes = std::size_t{1} << 28, 0; }
Result cuDeviceCanAccessPeer(int* can, Device, Device) { return *can = 0, 0; }
Result cuDevicePrimaryCtxRetain(Context* context, Device) { return *context = &primary, 0; }
Result cuDevicePrimaryCtxRelease_v2(Device) { return 0; }
Result cuCtxGetCurrent(Context* context) { return *context = current, 0; }
Result cuCtxSetCurrent(Context context) { return current = context, 0; }
Result cuCtxGetDevice(Device* device) { return *device = 0, current ? 0 : kInvalidContext; }
Result cuCtxSynchronize() { return land(), current ? 0 : kInvalidContext; }
Result cuCtxResetPersistingL2Cache() { return 0; }
Result cuMemGetInfo_v2(std::size_t* free, std::size_t* total) { return *free = *total = std::size_t{1} << 32, 0; }
Result cuMemAlloc_v2(DevicePointer* address, std::size_t bytes) {
  if (!current) return kInvalidContext;
  if (capturing > 0) return kCaptureUnsupported;
  void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (memory) std::memset(memory, 0xff, bytes);
  *address = reinterpret_cast<DevicePointer>(memory);
  return memory ? 0 : kOutOfMemory;
}
Result cuMemFree_v2(DevicePointer address) { return land(), std::free(reinterpret_cast<void*>(address)), 0; }
// An allocation is a memory file; what is reserved and not mapped cannot be touched, as on a GPU.
Result cuMemGetAllocationGranularity(std::size_t* bytes, const AllocationProperties*, int) {
  return *bytes = std::size_t{1} << 16, 0;
}
Result cuMemCreate(Allocation* allocation, std::size_t bytes, const AllocationProperties* properties,
                   unsigned long long) {
  if (!current) return kInvalidContext;
  if (bytes % (1 << 16) != 0 || properties->type != kAllocationPinned) return kInvalidValue;
  const int fd = ::memfd_create("device memory", MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) return kOutOfMemory;
  return *allocation = static_cast<Allocation>(fd), 0;
}
Result cuMemRelease(Allocation allocation) { return ::close(static_cast<int>(allocation)), 0; }
Result cuMemExportToShareableHandle(void* handle, Allocation allocation, int type, unsigned long long) {
  if (type != kHandleDescriptor) return kInvalidValue;
  const int fd = ::fcntl(static_cast<int>(allocation), F_DUPFD_CLOEXEC, 0);
  return *static_cast<int*>(handle) = fd, fd < 0 ? kInvalidValue : 0;
}
Result cuMemImportFromShareableHandle(Allocation* allocation, void* handle, int type) {
#ifdef KILN_FAKE_SHARES_NOTHING
  return kNotSupported;
#endif
  if (type != kHandleDescriptor) return kInvalidValue;
  const int fd = ::fcntl(static_cast<int>(reinterpret_cast<std::intptr_t>(handle)), F_DUPFD_CLOEXEC, 0);
  return *allocation = static_cast<Allocation>(fd), fd < 0 ? kInvalidValue : 0;
}
Result cuMemAddressReserve(DevicePointer* address, std::size_t bytes, std::size_t, DevicePointer, unsigned long long) {
  void* reserved = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return *address = reinterpret_cast<DevicePointer>(reserved), reserved == MAP_FAILED ? kOutOfMemory : 0;
}
Result cuMemAddressFree(DevicePointer address, std::size_t bytes) {
  return ::munmap(reinterpret_cast<void*>(address), bytes) == 0 ? 0 : kInvalidValue;
}
Result cuMemMap(DevicePointer address, std::size_t bytes, std::size_t offset, Allocation allocation,
                unsigned long long) {
  void* mapped = ::mmap(reinterpret_cast<void*>(address), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED,
                        static_cast<int>(allocation), static_cast<off_t>(offset));
  return mapped == MAP_FAILED ? kInvalidValue : 0;
}
Result cuMemUnmap(DevicePointer address, std::size_t bytes) {
  if (under_way.to >= address && under_way.to - address < bytes) under_way = {};  // it waits for nobody
  void* reserved = ::mmap(reinterpret_cast<void*>(address), bytes, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  return reserved == MAP_FAILED ? kInvalidValue : 0;
}
Result cuMemSetAccess(DevicePointer address, std::size_t bytes, const MemoryAccess* access, std::size_t) {
  const int protection = access->flags == kAccessReadWrite ? PROT_READ | PROT_WRITE : PROT_NONE;
  return ::mprotect(reinterpret_cast<void*>(address), bytes, protection) == 0 ? 0 : kInvalidValue;
}
Result cuMemAllocHost_v2(void** memory, std::size_t bytes) {
  return *memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64), 0;
}
Result cuMemFreeHost(void* memory) { return std::free(memory), 0; }
Result cuMemHostGetDevicePointer_v2(DevicePointer* address, void* host, unsigned) {
  return *address = reinterpret_cast<DevicePointer>(host), 0;
}
Result cuMemcpyHtoD_v2(DevicePointer to, const void* from, std::size_t bytes) {
  land();
  under_way = {to, {static_cast<const std::byte*>(from), static_cast<const std::byte*>(from) + bytes}};
  return 0;
}
Result cuMemcpyDtoH_v2(void* to, DevicePointer from, std::size_t bytes) {
  land();
  return std::memcpy(to, reinterpret_cast<void*>(from), bytes), 0;
}
Result cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, std::size_t bytes, Stream stream) {
  wait_as(stream);
  return std::memcpy(reinterpret_cast<void*>(to), from, bytes), 0;
}
Result cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, std::size_t bytes, Stream stream) {
  wait_as(stream);
  return std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes), 0;
}
Result cuMemcpyPeerAsync(DevicePointer to, Context, DevicePointer from, Context, std::size_t bytes, Stream stream) {
  return cuMemcpyDtoDAsync_v2(to, from, bytes, stream);
}
Result cuMemsetD8Async(DevicePointer address, unsigned char value, std::size_t bytes, Stream) {
  return std::memset(reinterpret_cast<void*>(address), value, bytes), 0;
}
Result cuModuleLoadData(Module* module, const void* image) {
  const std::size_t bytes = image_bytes(image);
  const int fd = bytes == 0 ? -1 : ::memfd_create("cubin", MFD_CLOEXEC);
  if (fd < 0 || ::write(fd, image, bytes) != static_cast<ssize_t>(bytes)) return kInvalidImage;
  void* library = ::dlopen(("/proc/self/fd/" + std::to_string(fd)).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return ::close(fd), kInvalidImage;
  *module = new ModuleTag{library, fd};
  return 0;
}
Result cuModuleUnload(Module module) { return ::dlclose(module->library), ::close(module->fd), delete module, 0; }
Result cuModuleGetFunction(Function* function, Module module, const char* name) {
  void* symbol = ::dlsym(module->library, name);
  const auto* bytes =
      static_cast<const unsigned*>(::dlsym(module->library, (std::string(name) + "_parameter_bytes").c_str()));
  if (!symbol || !bytes) return kNotFound;
  *function = new FunctionTag{reinterpret_cast<simt::Kernel>(symbol),
                              *bytes / sizeof(void*)};  // lives as long as the process, as small as it is
  return 0;
}
Result cuFuncGetAttribute(int* value, FunctionAttribute, Function) { return *value = 0, 0; }
Result cuFuncSetAttribute(Function, FunctionAttribute, int) { return 0; }
Result cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function, int threads, std::size_t) {
  return *blocks = 2048 / threads, 0;
}
unsigned cluster_of(const LaunchConfig& config) {
  for (unsigned a = 0; a < config.attribute_count; ++a)
    if (config.attributes[a].id == LaunchAttributeId::cluster_dimension) return config.attributes[a].value.cluster.x;
  return 1;
}
bool cooperative(const LaunchConfig& config) {
  for (unsigned a = 0; a < config.attribute_count; ++a)
    if (config.attributes[a].id == LaunchAttributeId::cooperative) return config.attributes[a].value.cooperative != 0;
  return false;
}
bool programmatic(const LaunchConfig& config) {
  for (unsigned a = 0; a < config.attribute_count; ++a)
    if (config.attributes[a].id == LaunchAttributeId::programmatic_stream_serialization)
      return config.attributes[a].value.programmatic != 0;
  return false;
}
Result cuLaunchKernelEx(const LaunchConfig* config, Function function, void** parameters, void**) {
  if (!current) return kInvalidContext;
  if (programmatic(*config)) ++kiln_fake_programmatic_launches;
  const auto* pointers = static_cast<void* const*>(parameters[0]);
  const Recorded launch{function->kernel,
                        {config->grid_x, config->block_x, config->shared_bytes, cluster_of(*config),
                         cooperative(*config)},
                        {pointers, pointers + function->arguments}};
  if (config->stream && config->stream->capturing) return config->stream->graph->launches.push_back(launch), 0;
  wait_as(config->stream);
  if (function->arguments > 0) run(launch);  // a kernel without parameters reaches nothing that anybody could look at
  return 0;
}
Result cuStreamCreate(Stream* stream, unsigned flags) {
  *stream = new StreamTag;
  (*stream)->waits_for_default = (flags & kStreamNonBlocking) == 0;
  return 0;
}
Result cuStreamDestroy_v2(Stream stream) { return delete stream, 0; }
Result cuStreamSynchronize(Stream stream) { return wait_as(stream), 0; }
Result cuStreamWaitValue32_v2(Stream, DevicePointer, std::uint32_t, unsigned) { return kNotSupported; }
Result cuStreamBeginCapture_v2(Stream stream, int) {
  stream->capturing = true;
  stream->graph = new GraphTag;
  ++capturing;
  return 0;
}
Result cuStreamEndCapture(Stream stream, Graph* graph) {
  stream->capturing = false;
  --capturing;
  return *graph = stream->graph, 0;
}
Result cuGraphInstantiateWithFlags(GraphExec* exec, Graph graph, unsigned long long) {
  return *exec = new GraphExecTag{graph->launches}, 0;
}
Result cuGraphLaunch(GraphExec exec, Stream stream) {
  wait_as(stream);
  for (const Recorded& launch : exec->launches) run(launch);
  return 0;
}
Result cuGraphExecDestroy(GraphExec exec) { return delete exec, 0; }
Result cuGraphDestroy(Graph graph) { return delete graph, 0; }
Result cuEventCreate(Event* event, unsigned) { return *event = new EventTag, 0; }
Result cuEventRecord(Event event, Stream) { return event->ns = now_ns(), 0; }
Result cuEventSynchronize(Event) { return 0; }
Result cuEventElapsedTime(float* milliseconds, Event begin, Event end) {
#ifdef KILN_FAKE_QUICK
  constexpr double kPart = 2.5e-4;
#else
  constexpr double kPart = 1;
#endif
  return *milliseconds = static_cast<float>((end->ns - begin->ns) * kPart * 1e-6), 0;
}
Result cuEventDestroy_v2(Event event) { return delete event, 0; }

}  // extern "C"

}  // namespace kiln::cuda
