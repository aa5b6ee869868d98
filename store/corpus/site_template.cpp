#include "store/corpus/site_template.h"

#include <algorithm>
#include <toml++/toml.h>

#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::store {
namespace {

[[noreturn]] void refuse(ErrorCode code, const std::string& name, const std::string& cause) {
  throw Error(code, "cannot load template '" + name.substr(0, 80) + "': " + cause,
              "docs/template-format.md says what a template is");
}

bool is_name(const std::string& text, bool dots) {
  const auto fits = [dots](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           (dots && (c == '.' || (c >= 'A' && c <= 'Z')));
  };
  return !text.empty() && text.size() <= 64 && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), fits);
}

void check_files(const std::string& name, const std::map<std::string, std::string>& files) {
  if (files.size() > SiteTemplateLimits::files)
    refuse(ErrorCode::limit, name, "it has more than " + std::to_string(SiteTemplateLimits::files) + " files");
  std::size_t bytes = 0;
  for (const auto& [file, text] : files) {
    if (!is_name(file, true))
      refuse(ErrorCode::invalid_input, name,
             "file '" + file.substr(0, 80) + "': its name is not of letters, digits, '.', '_' and '-'");
    if (const std::size_t at = text.find('\0'); at != std::string::npos)
      refuse(ErrorCode::invalid_input, name,
             file + ": line " +
                 std::to_string(1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n')) +
                 ": a NUL byte, in what has to be text");
    bytes += text.size();
  }
  if (bytes > SiteTemplateLimits::bytes)
    refuse(ErrorCode::limit, name,
           "its files have " + std::to_string(bytes) + " bytes, the limit is " +
               std::to_string(SiteTemplateLimits::bytes));
}

// The place of a key that parse_template() accepted.
std::string place_of(const std::map<std::string, std::string>& files, std::string_view key) {
  const toml::table table =
      toml::parse(std::string_view(files.at("template.toml")), std::string_view("template.toml"));
  const toml::node* node = table.get(key);
  if (node == nullptr) return "template.toml";
  return "template.toml: line " + std::to_string(node->source().begin.line) + ", column " +
         std::to_string(node->source().begin.column);
}

}  // namespace

TemplateSpec parse_site_template(const std::string& name, const std::map<std::string, std::string>& files) {
  if (!is_name(name, false))
    refuse(ErrorCode::invalid_input, name, "its name is not of small letters, digits, '_' and '-', at most 64");
  check_files(name, files);
  TemplateSpec spec = parse_template("site", name, files);
  spec.family = spec.anchor;
  if (spec.target != "cpu")
    refuse(ErrorCode::unsupported, name,
           place_of(files, "target") + ": '" + spec.target +
               "': golden sets run on the CPU, so that nothing could prove a template for another target");
  if (spec.vendor || !spec.libraries.empty())
    refuse(ErrorCode::unsupported, name,
           place_of(files, spec.vendor ? "vendor" : "libraries") +
               ": a site's template links no library: what links one is not audited before it is loaded");
  return spec;
}

std::string site_template_text(const TemplateSpec& spec) {
  json::object files;
  for (const auto& [file, text] : spec.files) files[file] = text;
  return json::canonical(json::object{{"name", spec.name}, {"files", std::move(files)}});
}

TemplateSpec site_template_from_text(const std::string& text) {
  constexpr std::string_view what = "a template of the site";
  const json::value parsed = json::parse(text, what);
  const json::object& whole = json::as_object(parsed, what);
  std::map<std::string, std::string> files;
  const json::object& listed = json::as_object(json::at(whole, "files", what), what);
  for (const auto& member : listed) files[std::string(member.key())] = json::get_string(listed, member.key(), what);
  return parse_site_template(json::get_string(whole, "name", what), files);
}

}  // namespace kiln::store
