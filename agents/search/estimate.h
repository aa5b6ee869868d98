// What a template's [cost] says of its configurations on a GPU, before anything is measured: a first guess that orders
// what a search tries first. It decides nothing else.
#pragma once

#include "agents/search/search.h"

namespace kiln::agents {

// Fills space.estimate_ns, one per row; leaves it empty where the template does not say what a thread does
// (docs/template-format.md), or the node has no GPU. Throws Error(invalid_input) for an expression without a value.
void estimate(const store::TemplateSpec& spec, const Figures& figures, Space& space);

}  // namespace kiln::agents
