// The writer: renders a template for a region with the values of a variant.
#pragma once

#include "agents/artifacts/rendered.h"
#include "agents/region/kernel.h"
#include "agents/search/search.h"
#include "store/corpus/corpus.h"

namespace kiln::agents {

// Whether the template can compute this kernel at all, tunables aside (anchor, types, the shape of the expression).
[[nodiscard]] bool accepts(const store::TemplateSpec& spec, const Kernel& kernel);

// `kernel` is lower(region). Deterministic: equal arguments give equal bytes. Throws Error(invalid_input) when the
// variant breaks a constraint of its template.
[[nodiscard]] RenderedKernel render(const store::TemplateSpec& spec, const Region& region, const Kernel& kernel,
                                    const Variant& variant, const Figures& figures, const NodeFacts& node);

}  // namespace kiln::agents
