// Faults that a site's template may have, each in a kernel that computes y = 2 x over 1000 floats.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agents/artifacts/rendered.h"
#include "agents/search/search.h"

namespace kiln::testing {

// Tunables: width in {1, 4, 8, 16} (a vector; 16 leaves a tail), unroll in {1, 2, 4}, path in {0, 1}; macros in the
// source.
struct Fault {
  const char* name;
  const char* prologue;            // before the kernel
  const char* body;                // with x, y, n = 1000 and task in scope
  const char* cause;               // what the debugger must call it; null: its evidence does not tell it from another
  bool repairable;                 // some variant of the template works
  std::int64_t scratch_bytes = 0;  // of variants with width 16
};
[[nodiscard]] const std::vector<Fault>& faults();

[[nodiscard]] agents::Space fault_space();
[[nodiscard]] agents::RenderedKernel rendered(const Fault& fault, const agents::Variant& variant);

}  // namespace kiln::testing
