// A template that a site brings: untrusted text until it is parsed, and held to more than Kiln's own are.
#pragma once

#include <map>
#include <string>

#include "store/corpus/corpus.h"

namespace kiln::store {

// The most that a template's folder may hold.
struct SiteTemplateLimits {
  static constexpr std::size_t files = 16;
  static constexpr std::size_t bytes = 1u << 19;  // of all files
};

// `files`: file name -> text. Its family is its anchor. Beyond parse_template(): names of letters, digits, '.', '_' and
// '-'; text without NUL; the limits above; for the CPU, where golden sets run; and no library, since what links one is
// not audited before it is loaded. Throws Error(invalid_input | limit | unsupported) naming file, line and cause.
[[nodiscard]] TemplateSpec parse_site_template(const std::string& name,
                                               const std::map<std::string, std::string>& files);

// As a blob: canonical JSON {"files", "name"}. Equal templates have equal text.
[[nodiscard]] std::string site_template_text(const TemplateSpec& spec);
// Throws Error(invalid_input) for what site_template_text() did not write.
[[nodiscard]] TemplateSpec site_template_from_text(const std::string& text);

}  // namespace kiln::store
