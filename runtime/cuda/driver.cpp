#include "runtime/cuda/driver.h"

#include <dlfcn.h>

#include "runtime/base/error.h"

namespace kiln::cuda {
namespace {

[[noreturn]] void unavailable(const std::string& cause) {
  throw Error(ErrorCode::unavailable, "cannot use CUDA: no CUDA device: " + cause,
              "install NVIDIA's driver, or use target cpu; where one is in place, nvidia-smi -q says by 'GPU Recovery "
              "Action' whether the GPU wants a reset");
}

template <class Function>
void find(void* library, const char* symbol, Function& out) {
  void* address = ::dlsym(library, symbol);
  if (!address) unavailable("its driver is older than CUDA 12.0 (no symbol " + std::string(symbol) + ")");
  out = reinterpret_cast<Function>(address);
}

}  // namespace

DriverApi load_driver() {
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* why = ::dlerror();
    unavailable(why ? why : "libcuda.so.1 cannot be loaded");
  }
  DriverApi api;
#define KILN_FIND(symbol, parameters) find(library, #symbol, api.symbol);
  KILN_CUDA_DRIVER_FUNCTIONS(KILN_FIND)
#undef KILN_FIND
  if (const Result result = api.cuInit(0); result != kSuccess) unavailable("cuInit: " + describe(api, result));
  int count = 0;
  if (const Result result = api.cuDeviceGetCount(&count); result != kSuccess) unavailable(describe(api, result));
  if (count == 0) unavailable("the driver finds none");
  return api;
}

std::string describe(const DriverApi& api, Result result) {
  const char* name = nullptr;
  const char* text = nullptr;
  if (api.cuGetErrorName(result, &name) != kSuccess || !name) return "CUDA error " + std::to_string(result);
  if (api.cuGetErrorString(result, &text) != kSuccess || !text) return name;
  return std::string(name) + ": " + text;
}

bool is_sticky(Result result) {
  switch (result) {
    case 214:  // ECC_UNCORRECTABLE
    case 220:  // NVLINK_UNCORRECTABLE
    case 226:  // CONTAINED
    case 700:  // ILLEGAL_ADDRESS
    case 702:  // LAUNCH_TIMEOUT
    case 710:  // ASSERT
    case 714:  // HARDWARE_STACK_ERROR
    case 715:  // ILLEGAL_INSTRUCTION
    case 716:  // MISALIGNED_ADDRESS
    case 717:  // INVALID_ADDRESS_SPACE
    case 718:  // INVALID_PC
    case 719:  // LAUNCH_FAILED
    case 721:  // TENSOR_MEMORY_LEAK
      return true;
    default:
      return false;
  }
}

DriverError::DriverError(const DriverApi& api, Result result, const std::string& what)
    : Error(result == kOutOfMemory ? ErrorCode::limit : ErrorCode::unavailable,
            "cannot " + what + ": " + describe(api, result)),
      result_(result) {}

}  // namespace kiln::cuda
