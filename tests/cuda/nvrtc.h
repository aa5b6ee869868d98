// NVRTC for a test, or a loud word that the node has none.
#pragma once

#include <doctest/doctest.h>

#include <memory>

#include "daemon/targets/cuda/compile.h"
#include "runtime/base/error.h"

namespace kiln::testing {

inline std::unique_ptr<targets::cuda::Compiler> nvrtc() {
  try {
    return std::make_unique<targets::cuda::Compiler>();
  } catch (const Error& error) {
    MESSAGE("SKIPPED, nothing was compiled for CUDA: " << error.what());
    return nullptr;
  }
}

}  // namespace kiln::testing
