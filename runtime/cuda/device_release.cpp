#include "runtime/cuda/device_release.h"

#include <algorithm>

#include "runtime/base/error.h"
#include "runtime/failure.h"

namespace kiln::runtime::cuda {
namespace {

using kiln::cuda::DeviceAttribute;
using kiln::cuda::Function;
using kiln::cuda::FunctionAttribute;
using kiln::cuda::kSuccess;

constexpr std::int32_t kPlainSharedBytes = 48 << 10;  // more has to be asked for
constexpr std::int32_t kPortableCluster = 8;

// CUresult values that say: this code is for another device or driver.
constexpr Result kInvalidImage = 200, kNoBinary = 209, kUnsupportedPtx = 222, kUnsupportedDevice = 804;

DriverApi driver() {
  try {
    return kiln::cuda::load_driver();
  } catch (const Error& error) {
    throw Failure(KILN_E_TARGET, error.what());
  }
}

}  // namespace

void require(const DriverApi& api, Result result, const std::string& what) {
  if (result == kSuccess) return;
  const std::string text = "cannot " + what + ": " + kiln::cuda::describe(api, result);
  switch (result) {
    case kiln::cuda::kOutOfMemory:
      throw Failure(KILN_E_MEMORY, text);
    case kInvalidImage:
    case kNoBinary:
    case kUnsupportedPtx:
    case kUnsupportedDevice:
      throw Failure(KILN_E_TARGET, text + "; the release was built for another GPU or a newer driver");
    default:
      throw Failure(KILN_E_DEVICE, text);
  }
}

InContext::InContext(const DriverApi& api, Context context) : api_(api) {
  require(api_, api_.cuCtxGetCurrent(&before_), "ask for the current context");
  if (before_ == context) return;
  require(api_, api_.cuCtxSetCurrent(context), "make the release's context current");
  changed_ = true;
}

InContext::~InContext() {
  if (changed_) (void)api_.cuCtxSetCurrent(before_);  // ignoring: the caller's next call of the driver tells
}

Arena::Arena(const DriverApi& api, Context context, std::int64_t bytes) : api_(&api), context_(context) {
  if (bytes == 0) return;
  require(api, api.cuMemAlloc_v2(&address_, static_cast<std::size_t>(bytes)),
          "take " + std::to_string(bytes) + " bytes of device memory");
}

Arena::~Arena() {
  if (address_ == 0) return;
  try {
    const InContext in(*api_, context_);
    (void)api_->cuMemFree_v2(address_);  // ignoring: after a fault the whole context is lost, and with it the memory
  } catch (const Failure&) {             // the same
  }
}

Arena::Arena(Arena&& other) noexcept
    : api_(other.api_), context_(other.context_), address_(std::exchange(other.address_, 0)) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(api_, other.api_);
  std::swap(context_, other.context_);
  std::swap(address_, other.address_);
  return *this;
}

DeviceRelease::DeviceRelease(const Folder& folder, const void* constants)
    : plan_(folder.plan), id_(folder.id), api_(driver()) {
  take_context();
  try {
    const InContext in(api_, context_);
    check_device();
    load_constants(folder, constants);
    load_modules(folder);
    prepare();
  } catch (...) {
    release_all();
    throw;
  }
}

DeviceRelease::~DeviceRelease() { release_all(); }

void DeviceRelease::release_all() noexcept {
  try {
    const InContext in(api_, context_);
    prepared_ = Arena();
    constants_ = Arena();
    for (const kiln::cuda::Module module : modules_) (void)api_.cuModuleUnload(module);  // ignoring: see ~Arena
  } catch (const Failure&) {                                                             // see ~Arena
  }
  kiln::cuda::Device device = 0;
  if (retained_ && api_.cuDeviceGet(&device, 0) == kSuccess) (void)api_.cuDevicePrimaryCtxRelease_v2(device);
}

void DeviceRelease::take_context() {
  require(api_, api_.cuCtxGetCurrent(&context_), "ask for the current context");
  if (context_) return;
  kiln::cuda::Device device = 0;
  require(api_, api_.cuDeviceGet(&device, 0), "find a device");
  require(api_, api_.cuDevicePrimaryCtxRetain(&context_, device), "take the first device's context");
  retained_ = true;
}

void DeviceRelease::check_device() const {
  kiln::cuda::Device device = 0;
  int major = 0, minor = 0;
  require(api_, api_.cuCtxGetDevice(&device), "ask for the context's device");
  require(api_, api_.cuDeviceGetAttribute(&major, DeviceAttribute::compute_major, device),
          "ask for the compute capability");
  require(api_, api_.cuDeviceGetAttribute(&minor, DeviceAttribute::compute_minor, device),
          "ask for the compute capability");
  // Code objects run within their major version, from their minor version on; "a" ones where they were built for
  // alone.
  const bool runs = major == plan_.compute_major &&
                    (plan_.exact_architecture ? minor == plan_.compute_minor : minor >= plan_.compute_minor);
  if (!runs)
    throw Failure(KILN_E_TARGET, "cannot run the plan '" + plan_.name + "': it is for compute capability " +
                                     std::to_string(plan_.compute_major) + "." + std::to_string(plan_.compute_minor) +
                                     ", this GPU has " + std::to_string(major) + "." + std::to_string(minor));
}

void DeviceRelease::load_constants(const Folder& folder, const void* on_device) {
  constants_ = Arena(api_, context_, plan_.constants_bytes);
  if (plan_.constants_bytes == 0) return;
  const Mapping constants = folder.constants();  // has the plan's size, or is refused, wherever the bytes come from
  if (on_device) {
    require(api_,
            api_.cuMemcpyDtoDAsync_v2(constants_.address(), reinterpret_cast<DevicePointer>(on_device),
                                      static_cast<std::size_t>(plan_.constants_bytes), nullptr),
            "copy the constants");
  } else {
    require(api_, api_.cuMemcpyHtoD_v2(constants_.address(), constants.data(), constants.bytes().size()),
            "copy the constants");
  }
  // Both copies return before their last part has arrived, and a caller's stream may not wait for it.
  require(api_, api_.cuStreamSynchronize(nullptr), "copy the constants");
}

void DeviceRelease::load_modules(const Folder& folder) {
  for (const std::string& digest : plan_.objects) {
    const FileEntry& entry = folder.object(digest);
    const Mapping image = Mapping::file(folder.fd.get(), entry.path, entry.bytes);
    if (image.bytes().size() < 64)
      throw Failure(KILN_E_LOAD, "cannot load code object '" + entry.path + "': it is too short");
    kiln::cuda::Module module = nullptr;
    require(api_, api_.cuModuleLoadData(&module, image.data()), "load code object '" + entry.path + "'");
    modules_.push_back(module);
  }
  prepare_functions_ = resolve(plan_.prepare);
  run_functions_ = resolve(plan_.run);
}

std::vector<Function> DeviceRelease::resolve(const std::vector<Launch>& launches) const {
  std::vector<Function> out;
  for (const Launch& l : launches) {
    Function function = nullptr;
    if (api_.cuModuleGetFunction(&function, modules_[static_cast<std::size_t>(l.object)], l.symbol.c_str()) != kSuccess)
      throw Failure(KILN_E_LOAD, "cannot find symbol '" + l.symbol + "' in its code object");
    if (l.grid.shared_bytes > kPlainSharedBytes)
      require(api_, api_.cuFuncSetAttribute(function, FunctionAttribute::max_dynamic_shared_bytes, l.grid.shared_bytes),
              "give '" + l.symbol + "' " + std::to_string(l.grid.shared_bytes) + " bytes of shared memory");
    if (l.grid.cluster > kPortableCluster)
      require(api_, api_.cuFuncSetAttribute(function, FunctionAttribute::non_portable_cluster, 1),
              "give '" + l.symbol + "' clusters of " + std::to_string(l.grid.cluster));
    if (l.grid.cooperative) require_side_by_side(function, l);
    out.push_back(function);
  }
  return out;
}

// A launch whose blocks wait for each other needs all of them at once.
void DeviceRelease::require_side_by_side(Function function, const Launch& l) const {
  kiln::cuda::Device device = 0;
  int multiprocessors = 0, blocks = 0;
  require(api_, api_.cuCtxGetDevice(&device), "ask for the context's device");
  require(api_, api_.cuDeviceGetAttribute(&multiprocessors, DeviceAttribute::multiprocessors, device),
          "ask for the multiprocessors");
  require(api_,
          api_.cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, l.grid.block_threads,
                                                           static_cast<std::size_t>(l.grid.shared_bytes)),
          "ask how many blocks of '" + l.symbol + "' a multiprocessor holds");
  if (l.tasks > std::int64_t{multiprocessors} * blocks)
    throw Failure(KILN_E_TARGET, "cannot run the plan '" + plan_.name + "': '" + l.symbol + "' needs " +
                                     std::to_string(l.tasks) + " blocks at the same time, this GPU holds " +
                                     std::to_string(std::int64_t{multiprocessors} * blocks) +
                                     "; tune for it, or run the baseline");
}

void DeviceRelease::prepare() {
  prepared_ = Arena(api_, context_, plan_.prepared_bytes);
  if (plan_.prepare.empty()) return;
  const Arena temporary(api_, context_, plan_.temporary_bytes);
  std::vector<DevicePointer> where;
  for (const Buffer& b : plan_.buffers)
    where.push_back(b.kind == BufferKind::temporary ? temporary.address() + static_cast<DevicePointer>(b.offset)
                                                    : address(b));
  DeviceLauncher(api_, plan_.prepare, prepare_functions_).enqueue(where, nullptr);
  require(api_, api_.cuCtxSynchronize(), "prepare the weights");
}

DevicePointer DeviceRelease::address(const Buffer& b) const {
  if (b.kind == BufferKind::constant) return constants_.address() + static_cast<DevicePointer>(b.offset);
  if (b.kind == BufferKind::prepared) return prepared_.address() + static_cast<DevicePointer>(b.offset);
  return 0;
}

}  // namespace kiln::runtime::cuda
