// What every target's rendering shares: the variant's tunables, the heading, and the figures of [geometry]. Internal
// to the writer.
#pragma once

#include <string>

#include "agents/writer/family.h"
#include "agents/writer/writer.h"

namespace kiln::agents::writer {

[[nodiscard]] std::string title(const store::TemplateSpec& spec);  // "row/fused"
[[nodiscard]] std::string one_line(std::string text);              // for a comment: no line breaks
// The variant's values, defaults for the rest. Throws Error(invalid_input) for a name or value that the template
// lacks.
[[nodiscard]] Tunables complete_tunables(const store::TemplateSpec& spec, const Variant& variant);
void check_constraints(const store::TemplateSpec& spec, const Figures& figures, const Tunables& tunables);
// What the file is, as comments.
[[nodiscard]] std::string heading(const Region& region, const store::TemplateSpec& spec, const Variant& variant,
                                  const Tunables& tunables);
[[nodiscard]] std::string tunable_constants(const store::TemplateSpec& spec, const Tunables& tunables);
[[nodiscard]] const std::string& template_source(const store::TemplateSpec& spec);
// An expression of [geometry] as a count; `fallback` when the template does not have it.
[[nodiscard]] std::int64_t geometry(const store::TemplateSpec& spec, const char* name, const Figures& figures,
                                    const Tunables& tunables, std::int64_t fallback);

namespace device {
[[nodiscard]] bool accepts(const store::TemplateSpec& spec, const Kernel& kernel);
// A kernel that is complete without any include, for the architecture of node.gpu. Throws as agents::render().
[[nodiscard]] RenderedKernel render(const store::TemplateSpec& spec, const Region& region, const Kernel& kernel,
                                    const Variant& variant, const Figures& figures, const NodeFacts& node);
}  // namespace device

}  // namespace kiln::agents::writer
