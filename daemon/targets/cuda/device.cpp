#include "daemon/targets/cuda/device.h"

#include <algorithm>
#include <utility>

#include "runtime/base/error.h"

namespace kiln::targets::cuda {

using kiln::cuda::check;

namespace {

constexpr std::size_t kLeastFlushBytes = std::size_t{64} << 20;
// A stream takes some thousand launches before the host has to wait; held back, it must not come near that.
constexpr int kMostHeldLaunches = 256;
constexpr unsigned kWaitUntilEqual = 1;  // CU_STREAM_WAIT_VALUE_EQ

}  // namespace

Gpu::Gpu(std::int32_t ordinal) : api_(kiln::cuda::load_driver()), node_(detect(api_)) {
  if (ordinal < 0 || static_cast<std::size_t>(ordinal) >= node_.gpus.size())
    throw Error(ErrorCode::unavailable,
                "cannot use GPU " + std::to_string(ordinal) + ": the node has " + std::to_string(node_.gpus.size()));
  description_ = node_.gpus[static_cast<std::size_t>(ordinal)];
  nvml_ = Nvml::open();
  check(api_, api_.cuDeviceGet(&device_, ordinal), "find the device");
  kiln::cuda::Context context = nullptr;
  check(api_, api_.cuDevicePrimaryCtxRetain(&context, device_), "make a context");
  check(api_, api_.cuCtxSetCurrent(context), "make the context current");
  check(api_, api_.cuStreamCreate(&stream_, kiln::cuda::kStreamNonBlocking), "make a stream");
  check(api_, api_.cuEventCreate(&begin_, 0), "make an event");
  check(api_, api_.cuEventCreate(&end_, 0), "make an event");
  void* gate = nullptr;
  check(api_, api_.cuMemAllocHost_v2(&gate, sizeof(std::uint32_t)), "take pinned memory");
  gate_ = static_cast<volatile std::uint32_t*>(gate);
  check(api_, api_.cuMemHostGetDevicePointer_v2(&gate_address_, gate, 0), "map pinned memory");
}

Gpu::~Gpu() {
  flush_.reset();
  // Ignoring results: after a fault nothing of the context can be given back, and the process ends.
  (void)api_.cuMemFreeHost(const_cast<std::uint32_t*>(gate_));
  (void)api_.cuEventDestroy_v2(begin_);
  (void)api_.cuEventDestroy_v2(end_);
  (void)api_.cuStreamDestroy_v2(stream_);
  (void)api_.cuDevicePrimaryCtxRelease_v2(device_);
}

std::optional<std::uint32_t> Gpu::sm_mhz() const { return nvml_ ? nvml_->sm_mhz(description_.pci) : std::nullopt; }

bool Gpu::counts_energy() const { return nvml_ && nvml_->energy_mj(description_.pci); }

std::uint64_t Gpu::microjoules() const {
  const auto energy_mj = nvml_ ? nvml_->energy_mj(description_.pci) : std::nullopt;
  if (!energy_mj)
    throw Error(ErrorCode::unavailable,
                "cannot measure energy: this node has no energy counter: NVML is not there, or counts none of this GPU",
                "kctl doctor");
  return 1000 * *energy_mj;
}

DeviceMemory Gpu::allocate(std::size_t bytes) const { return {api_, bytes}; }

void Gpu::copy_in(kiln::cuda::DevicePointer to, std::span<const std::byte> from) const {
  check(api_, api_.cuMemcpyHtoDAsync_v2(to, from.data(), from.size(), stream_), "copy to the GPU");
  synchronize();
}

void Gpu::copy_out(std::span<std::byte> to, kiln::cuda::DevicePointer from) const {
  synchronize();
  check(api_, api_.cuMemcpyDtoH_v2(to.data(), from, to.size()), "copy from the GPU");
}

void Gpu::synchronize() const { check(api_, api_.cuStreamSynchronize(stream_), "finish the work on the GPU"); }

void Gpu::flush_l2() {
  if (!flush_) {
    const std::size_t bytes =
        std::max(kLeastFlushBytes, 2 * static_cast<std::size_t>(description_.l2_bytes) + (std::size_t{8} << 20));
    flush_ = std::make_unique<DeviceMemory>(api_, bytes);
  }
  if (description_.persisting_l2_bytes > 0)
    check(api_, api_.cuCtxResetPersistingL2Cache(), "reset the persisting cache");
  check(api_, api_.cuMemsetD8Async(flush_->address(), 0x5a, flush_->bytes(), stream_), "flush the cache");
}

void Gpu::begin_recording() {
  check(api_, api_.cuStreamBeginCapture_v2(stream_, kiln::cuda::kCaptureThreadLocal), "record launches");
}

void Gpu::drop_recording() {
  kiln::cuda::Graph graph = nullptr;
  if (api_.cuStreamEndCapture(stream_, &graph) == kiln::cuda::kSuccess && graph)
    (void)api_.cuGraphDestroy(graph);  // ignoring: what went wrong before is on its way
}

DeviceGraph Gpu::end_recording() {
  kiln::cuda::Graph graph = nullptr;
  check(api_, api_.cuStreamEndCapture(stream_, &graph), "record launches");
  return {api_, graph};
}

void Gpu::launch(const DeviceGraph& graph) const {
  check(api_, api_.cuGraphLaunch(graph.launchable(), stream_), "launch what was recorded");
}

DeviceGraph::DeviceGraph(const kiln::cuda::DriverApi& api, kiln::cuda::Graph recorded) : api_(&api) {
  const kiln::cuda::Result result = api.cuGraphInstantiateWithFlags(&launchable_, recorded, 0);
  (void)api.cuGraphDestroy(recorded);  // ignoring: what can be launched does not need it
  check(api, result, "make recorded launches ready");
}

DeviceGraph::~DeviceGraph() {
  if (launchable_) (void)api_->cuGraphExecDestroy(launchable_);  // ignoring: after a fault it goes with the process
}

void Gpu::hold() {
  *gate_ = 0;
  holding_ = api_.cuStreamWaitValue32_v2(stream_, gate_address_, 1, kWaitUntilEqual) == kiln::cuda::kSuccess;
}

void Gpu::let_go() {
  if (holding_) *gate_ = 1;
  holding_ = false;
}

void Gpu::begin(int launches) {
  if (launches <= kMostHeldLaunches) hold();
  const kiln::cuda::Result recorded = api_.cuEventRecord(begin_, stream_);
  if (recorded != kiln::cuda::kSuccess) let_go();
  check(api_, recorded, "record the time");
}

double Gpu::end() {
  const kiln::cuda::Result recorded = api_.cuEventRecord(end_, stream_);
  let_go();
  check(api_, recorded, "record the time");
  check(api_, api_.cuEventSynchronize(end_), "finish the work on the GPU");
  float milliseconds = 0;
  check(api_, api_.cuEventElapsedTime(&milliseconds, begin_, end_), "read the time");
  return 1e6 * static_cast<double>(milliseconds);
}

DeviceMemory::DeviceMemory(const kiln::cuda::DriverApi& api, std::size_t bytes) : api_(&api), bytes_(bytes) {
  check(api, api.cuMemAlloc_v2(&address_, std::max<std::size_t>(bytes, 1)), "take device memory");
}

DeviceMemory::~DeviceMemory() {
  if (address_ != 0) (void)api_->cuMemFree_v2(address_);  // ignoring: after a fault it goes with the process
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : api_(other.api_), address_(std::exchange(other.address_, 0)), bytes_(other.bytes_) {}

}  // namespace kiln::targets::cuda
