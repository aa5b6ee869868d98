#include <algorithm>
#include <optional>
#include <set>
#include <toml++/toml.h>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "store/corpus/corpus.h"

namespace kiln::store {
namespace {

constexpr std::size_t kLimitBytes = 1u << 20;

// One template.toml: every key is read by name, and what nobody read is an error.
class TemplateFile {
 public:
  TemplateFile(std::string_view text, std::string place) : place_(std::move(place)) {
    if (text.size() > kLimitBytes)
      throw Error(ErrorCode::limit, "cannot load template '" + place_ + "': it is larger than 1 MiB");
    try {
      table_ = toml::parse(text, place_);
    } catch (const toml::parse_error& error) {
      fail(error.source(), std::string(error.description()));
    }
  }

  [[noreturn]] void fail(const toml::source_region& at, const std::string& cause) const {
    throw Error(ErrorCode::invalid_input, "cannot load template '" + place_ + "': line " +
                                              std::to_string(at.begin.line) + ", column " +
                                              std::to_string(at.begin.column) + ": " + cause);
  }
  [[nodiscard]] const toml::table& table() const { return table_; }

  void only(const toml::table& table, const std::set<std::string_view>& keys) const {
    for (const auto& [key, node] : table)
      if (!keys.contains(key.str())) fail(node.source(), "unknown key '" + std::string(key.str()) + "'");
  }
  template <class T>
  [[nodiscard]] T get(const toml::table& table, std::string_view key, std::optional<T> fallback = {}) const {
    const toml::node* node = table.get(key);
    if (!node) {
      if (fallback) return *fallback;
      fail(table.source(), "key '" + std::string(key) + "' is missing");
    }
    const std::optional<T> value = node->value_exact<T>();
    if (!value) fail(node->source(), "key '" + std::string(key) + "' has another type than it needs");
    return *value;
  }
  template <class T>
  [[nodiscard]] std::vector<T> list(const toml::table& table, std::string_view key) const {
    std::vector<T> out;
    const toml::node* node = table.get(key);
    if (!node) return out;
    if (!node->is_array()) fail(node->source(), "key '" + std::string(key) + "' needs an array");
    for (const toml::node& item : *node->as_array()) {
      const std::optional<T> value = item.value_exact<T>();
      if (!value) fail(item.source(), "an element of '" + std::string(key) + "' has another type than it needs");
      out.push_back(*value);
    }
    return out;
  }
  [[nodiscard]] const toml::table& section(std::string_view key) const {
    static const toml::table empty;
    const toml::node* node = table_.get(key);
    if (!node) return empty;
    if (!node->is_table()) fail(node->source(), "'" + std::string(key) + "' needs to be a table");
    return *node->as_table();
  }
  [[nodiscard]] std::map<std::string, std::string> expressions(std::string_view key) const {
    std::map<std::string, std::string> out;
    for (const auto& [name, node] : section(key)) {
      if (!node.is_string()) fail(node.source(), "an expression is a string");
      out.emplace(name.str(), node.as_string()->get());
    }
    return out;
  }

 private:
  std::string place_;
  toml::table table_;
};

Tunable tunable_from(const TemplateFile& file, std::string name, const toml::node& node) {
  if (!node.is_table()) file.fail(node.source(), "tunable '" + name + "' needs to be a table");
  const toml::table& table = *node.as_table();
  file.only(table, {"values", "default", "meaning"});
  Tunable out;
  out.name = std::move(name);
  out.values = file.list<std::int64_t>(table, "values");
  out.default_value = file.get<std::int64_t>(table, "default");
  out.meaning = file.get<std::string>(table, "meaning");
  if (out.values.empty() || out.values.size() > 1024)
    file.fail(node.source(), "tunable '" + out.name + "' needs 1 to 1024 values");
  if (std::set<std::int64_t>(out.values.begin(), out.values.end()).size() != out.values.size())
    file.fail(node.source(), "tunable '" + out.name + "' has one value twice");
  if (std::find(out.values.begin(), out.values.end(), out.default_value) == out.values.end())
    file.fail(node.source(), "the default of tunable '" + out.name + "' is not among its values");
  return out;
}

std::string digest_of_files(const std::map<std::string, std::string>& files) {
  Sha256 hash;
  for (const auto& [name, text] : files)
    for (const std::string& part : {std::to_string(name.size()) + ":" + name, std::to_string(text.size()) + ":" + text})
      hash.update(std::as_bytes(std::span(part)));
  return hash.finish_hex();
}

// The template's own files and the headers that it names: what its kernels are made of.
std::map<std::string, std::string> files_of(const std::map<std::string, std::string>& files, const TemplateSpec& spec) {
  std::map<std::string, std::string> out;
  for (const auto& [name, text] : files)
    if (!name.starts_with(header_folder(spec)) ||
        std::find(spec.headers.begin(), spec.headers.end(), name.substr(header_folder(spec).size())) !=
            spec.headers.end())
      out[name] = text;
  return out;
}

}  // namespace

std::string header_folder(const TemplateSpec& spec) { return spec.target == "cpu" ? "cpu/" : "device/"; }

TemplateSpec parse_template(const std::string& family, const std::string& name,
                            const std::map<std::string, std::string>& files) {
  const std::string place = family + "/" + name + "/template.toml";
  const auto text = files.find("template.toml");
  if (text == files.end())
    throw Error(ErrorCode::not_found, "cannot load template '" + family + "/" + name + "': it has no template.toml");
  const TemplateFile file(text->second, place);
  const toml::table& top = file.table();
  file.only(top, {"format", "summary", "target", "anchor", "dtypes", "cpu_features", "precision_class", "deterministic",
                  "vendor", "source", "headers", "libraries", "tunables", "constraints", "geometry", "cost"});
  if (file.get<std::int64_t>(top, "format") != 1) file.fail(top.get("format")->source(), "this version reads format 1");

  TemplateSpec out;
  out.family = family;
  out.name = name;
  out.target = file.get<std::string>(top, "target");
  out.summary = file.get<std::string>(top, "summary");
  out.anchor = file.get<std::string>(top, "anchor");
  static const std::set<std::string_view> anchors = {"pointwise", "row",    "matmul", "attention",
                                                     "gather",    "concat", "convolution", "window",
                                                     "pad",       "line",   "scatter",     "recurrent"};
  if (!anchors.contains(out.anchor)) file.fail(top.get("anchor")->source(), "unknown anchor '" + out.anchor + "'");
  out.dtypes = file.list<std::string>(top, "dtypes");
  out.libraries = file.list<std::string>(top, "libraries");
  out.cpu_features = file.list<std::string>(top, "cpu_features");
  out.precision_class = file.get<std::string>(top, "precision_class");
  out.deterministic = file.get<bool>(top, "deterministic", true);
  out.vendor = file.get<bool>(top, "vendor", false);
  const std::string source = file.get<std::string>(top, "source");
  if (!files.contains(source))
    file.fail(top.get("source")->source(), "its source '" + source + "' is not in its folder");
  out.source = source;
  out.headers = file.list<std::string>(top, "headers");
  out.files = files_of(files, out);
  for (const std::string& header : out.headers)
    if (!out.files.contains(header_folder(out) + header))
      file.fail(top.get("headers")->source(), "its header '" + header + "' is not among the shared headers");
  out.digest = digest_of_files(out.files);
  for (const auto& [key, node] : file.section("tunables"))
    out.tunables.push_back(tunable_from(file, std::string(key.str()), node));
  // toml++ orders keys by name; the order of the file is the order in which people think of them.
  std::sort(out.tunables.begin(), out.tunables.end(), [&](const Tunable& a, const Tunable& b) {
    return file.section("tunables").get(a.name)->source().begin.line <
           file.section("tunables").get(b.name)->source().begin.line;
  });
  file.only(file.section("constraints"), {"all"});
  out.constraints = file.list<std::string>(file.section("constraints"), "all");
  out.geometry = file.expressions("geometry");
  out.cost = file.expressions("cost");
  return out;
}

}  // namespace kiln::store
