// What a policy may forbid by name in a kernel's source, wherever it came from: Kiln's templates, a site's, a prelude.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agents/artifacts/rendered.h"

namespace kiln::agents {

// The first of `forbidden` (policies::kConstructs) that the kernel has, with its place in the rendered file:
// "inline-assembly: line 41: asm volatile(...)". Comments do not count; text within quotes does, since that is where
// instructions stand. Of instruction sets and libraries it is what the kernel is compiled and linked with. This reads
// what a source says; what one hides behind a macro is the audit's and the sandbox's to stop (docs/worker-protocol.md).
[[nodiscard]] std::optional<std::string> forbidden_construct(const RenderedKernel& kernel,
                                                             const std::vector<std::string>& forbidden);

}  // namespace kiln::agents
