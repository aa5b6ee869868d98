#include <algorithm>

#include "runtime/cuda/device_release.h"
#include "runtime/failure.h"

namespace kiln::runtime::cuda {
namespace {

constexpr std::uintptr_t kAlignment = 16;  // of the widest access of a kernel

DevicePointer checked(const void* pointer, const char* word, std::size_t index) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (address % kAlignment != 0)
    throw Failure(KILN_E_ARGUMENT,
                  std::string("cannot run: ") + word + " " + std::to_string(index) + " is not 16-byte aligned");
  return address;
}

// In a graph, programmatic launches need CUDA 12.3 (CUDA C++ Programming Guide, "Programmatic Dependent Launch and
// Synchronization"); without the attribute such a kernel's wait is over at once, since nothing is ahead of it.
bool takes_programmatic_launches(const DriverApi& api) {
  int version = 0;
  return api.cuDriverGetVersion(&version) == kiln::cuda::kSuccess && version >= 12030;
}

unsigned fill(LaunchAttributes& out, const Grid& grid, bool programmatic) {
  unsigned count = 0;
  if (grid.cooperative) {
    out[count].id = kiln::cuda::LaunchAttributeId::cooperative;
    out[count++].value.cooperative = 1;
  }
  if (grid.cluster > 1) {
    out[count].id = kiln::cuda::LaunchAttributeId::cluster_dimension;
    out[count++].value.cluster = {static_cast<unsigned>(grid.cluster), 1, 1};
  }
  if (grid.programmatic && programmatic) {
    out[count].id = kiln::cuda::LaunchAttributeId::programmatic_stream_serialization;
    out[count++].value.programmatic = 1;
  }
  return count;
}

}  // namespace

DeviceLauncher::DeviceLauncher(const DriverApi& api, const std::vector<Launch>& launches,
                               const std::vector<kiln::cuda::Function>& functions)
    : api_(api), launches_(launches), functions_(functions), configs_(launches.size()), attributes_(launches.size()) {
  std::size_t longest = 1;
  const bool programmatic = takes_programmatic_launches(api);
  for (std::size_t i = 0; i < launches.size(); ++i) {
    const Launch& l = launches[i];
    longest = std::max(longest, l.args.size());
    kiln::cuda::LaunchConfig& config = configs_[i];
    config = {static_cast<unsigned>(l.tasks),
              1,
              1,
              static_cast<unsigned>(l.grid.block_threads),
              1,
              1,
              static_cast<unsigned>(l.grid.shared_bytes),
              nullptr,
              nullptr,
              0};
    config.attributes = attributes_[i].data();
    config.attribute_count = fill(attributes_[i], l.grid, programmatic);
  }
  arguments_.resize(longest);
}

void DeviceLauncher::enqueue(const std::vector<DevicePointer>& address, Stream stream) {
  for (std::size_t i = 0; i < launches_.size(); ++i) {
    const Launch& l = launches_[i];
    for (std::size_t a = 0; a < l.args.size(); ++a) arguments_[a] = address[static_cast<std::size_t>(l.args[a])];
    configs_[i].stream = stream;
    void* parameters[] = {
        arguments_.data()};  // one parameter: the array of the launch's pointers, which the call copies
    if (const Result result = api_.cuLaunchKernelEx(&configs_[i], functions_[i], parameters, nullptr);
        result != kiln::cuda::kSuccess)
      require(api_, result, "launch '" + l.symbol + "'");
  }
}

DeviceSession::DeviceSession(const DeviceRelease& release)
    : release_(release), launcher_(release.api(), release.plan().run, release.run_functions()) {
  const InContext in(release.api(), release.context());
  temporary_ = Arena(release.api(), release.context(), release.plan().temporary_bytes);
  for (const Buffer& b : release.plan().buffers) {
    if (b.kind == BufferKind::input || b.kind == BufferKind::output) callers_buffers_.push_back(address_.size());
    address_.push_back(b.kind == BufferKind::temporary ? temporary_.address() + static_cast<DevicePointer>(b.offset)
                                                       : release.address(b));
  }
}

void DeviceSession::enqueue(const void* const* inputs, void* const* outputs, Stream stream) {
  for (const std::size_t id : callers_buffers_) {
    const Buffer& b = release_.plan().buffers[id];
    const auto index = static_cast<std::size_t>(b.index);
    address_[id] =
        b.kind == BufferKind::input ? checked(inputs[index], "input", index) : checked(outputs[index], "output", index);
  }
  const InContext in(release_.api(), release_.context());
  launcher_.enqueue(address_, stream);
}

}  // namespace kiln::runtime::cuda
