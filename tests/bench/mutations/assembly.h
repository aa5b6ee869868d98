// What the compiler makes of a kernel: which lines have code, and whether two kernels have the same.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tests/bench/mutations/batch.h"

namespace kiln::mutation {

// Lines of the kernel's source, from 1, that have instructions when nothing is optimised away: what no
// instance of the templates uses has none.
[[nodiscard]] std::set<std::int64_t> lines_with_code(const agents::RenderedKernel& kernel);

// For each member, whether the compiler emits the same instructions over the same constants as for
// `original`. The members have its flags, and are not built yet: their symbols are those of `original`.
[[nodiscard]] std::vector<bool> have_code_of(const agents::RenderedKernel& original,
                                             const std::vector<agents::RenderedKernel>& members);

}  // namespace kiln::mutation
