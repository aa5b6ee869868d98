#include "agents/writer/rendering.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/base/error.h"

namespace kiln::agents::writer {

std::string title(const store::TemplateSpec& spec) { return spec.family + "/" + spec.name; }

Tunables complete_tunables(const store::TemplateSpec& spec, const Variant& variant) {
  Tunables tunables;
  for (const store::Tunable& tunable : spec.tunables) {
    const auto given = variant.tunables.find(tunable.name);
    tunables[tunable.name] = given == variant.tunables.end() ? tunable.default_value : given->second;
    if (std::find(tunable.values.begin(), tunable.values.end(), tunables[tunable.name]) == tunable.values.end())
      throw Error(ErrorCode::invalid_input, fmt::format("cannot render {}: {} = {} is not one of its values",
                                                        title(spec), tunable.name, tunables[tunable.name]));
  }
  for (const auto& [name, value] : variant.tunables)
    if (tunables.count(name) == 0)
      throw Error(ErrorCode::invalid_input,
                  fmt::format("cannot render {}: it has no tunable '{}'", title(spec), name));
  return tunables;
}

std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  while (!text.empty() && text.back() == '\\') text.pop_back();  // would continue the comment onto the next line
  return text;
}

std::string heading(const Region& region, const store::TemplateSpec& spec, const Variant& variant,
                    const Tunables& tunables) {
  std::string settings;
  for (const auto& [name, value] : tunables) settings += fmt::format(" {}={}", name, value);
  return fmt::format("// {}\n// Template {}{}{}, written by Kiln for region {}; variant {}.\n// {}\n",
                     one_line(region.label), title(spec), settings.empty() ? "" : " with", settings,
                     one_line(region.key), digest_of(variant).substr(0, 12), one_line(spec.summary));
}

std::string tunable_constants(const store::TemplateSpec& spec, const Tunables& tunables) {
  std::string text;
  for (const store::Tunable& tunable : spec.tunables)
    text += constant(constant_name(tunable.name), tunables.at(tunable.name), one_line(tunable.meaning));
  return text;
}

const std::string& template_source(const store::TemplateSpec& spec) {
  const auto file = spec.files.find(spec.source);
  if (file == spec.files.end())
    throw Error(ErrorCode::invalid_input,
                fmt::format("cannot render {}: the template has no {}", title(spec), spec.source));
  return file->second;
}

void check_constraints(const store::TemplateSpec& spec, const Figures& figures, const Tunables& tunables) {
  for (const std::string& constraint : spec.constraints)
    if (evaluate(constraint, figures, tunables) == 0)
      throw Error(ErrorCode::invalid_input,
                  fmt::format("cannot render {}: the variant breaks the constraint '{}'", title(spec), constraint));
}

std::int64_t geometry(const store::TemplateSpec& spec, const char* name, const Figures& figures,
                      const Tunables& tunables, std::int64_t fallback) {
  const auto entry = spec.geometry.find(name);
  if (entry == spec.geometry.end()) return fallback;
  const double value = evaluate(entry->second, figures, tunables);
  if (!(value >= 0) || value > 1e15)
    throw Error(ErrorCode::invalid_input,
                fmt::format("cannot render {}: geometry '{}' gives {}", title(spec), name, value));
  return static_cast<std::int64_t>(value);
}

}  // namespace kiln::agents::writer
