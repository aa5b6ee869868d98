// What decides which code object a compiler makes, as one digest, and what is kept of a build beside the object.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agents/workbench.h"
#include "daemon/worker/object_source.h"

namespace kiln::worker {

// `toolchain`: the compiler with its version and everything else that it reads, as a build worker says it
// (inside/build.cpp, inside/build_cuda.cpp).
[[nodiscard]] std::string recipe_of(const agents::BuildRequest& request, bool allow_spills,
                                    const std::string& toolchain);

// A build that went well, for the cache.
[[nodiscard]] KnownObject known_object(const std::string& architecture, const agents::BuildFact& fact,
                                       std::string_view object);
// Its fact again: verdict, diagnostics and resources; the object's digest is the caller's. Nothing where the cache
// holds something else than a build for this request's architecture. An object that came from another machine is for
// a GPU: what this process's workers load into themselves, the audit of this machine's builds has seen.
[[nodiscard]] std::optional<agents::BuildFact> fact_of(const agents::BuildRequest& request, const KnownObject& known);

// The architecture that an entry is for, "" for a host's. Throws Error(invalid_input) when `about` is none of ours.
[[nodiscard]] std::string architecture_of(const std::string& about);

}  // namespace kiln::worker
