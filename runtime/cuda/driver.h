// libcuda.so.1, found at run time: Kiln links no CUDA library, and a node without a driver only lacks this target.
#pragma once

#include <string>

#include "runtime/base/error.h"
#include "runtime/cuda/driver_api.h"

namespace kiln::cuda {

// Loads and initialises the driver. Loading it again costs nothing; it is never unloaded, since its threads outlive
// any use. Throws Error(unavailable) "cannot use CUDA: no CUDA device: <cause>" without a driver, a symbol, or a
// device.
[[nodiscard]] DriverApi load_driver();

// The driver's name and text of a result: "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered".
[[nodiscard]] std::string describe(const DriverApi& api, Result result);

// After one of these every later call of the process fails with it (CUDA Driver API, CUresult): the process must
// leave.
[[nodiscard]] bool is_sticky(Result result);

// What a failed driver call becomes outside libkiln. `what` completes "cannot ...": "load the module".
class DriverError : public Error {
 public:
  DriverError(const DriverApi& api, Result result, const std::string& what);
  [[nodiscard]] Result result() const { return result_; }

 private:
  Result result_;
};
inline void check(const DriverApi& api, Result result, const char* what) {
  if (result != kSuccess) throw DriverError(api, result, what);
}

}  // namespace kiln::cuda
