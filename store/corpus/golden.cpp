#include <toml++/toml.h>

#include "runtime/base/error.h"
#include "store/corpus/corpus.h"

namespace kiln::store {
namespace {

[[noreturn]] void fail(const std::string& family, const toml::node& node, const std::string& cause) {
  throw Error(ErrorCode::invalid_input, "cannot load golden set '" + family + ".toml': line " +
                                            std::to_string(node.source().begin.line) + ": " + cause);
}

std::vector<double> numbers(const std::string& family, const toml::node& node) {
  if (!node.is_array()) fail(family, node, "an array of numbers is needed");
  std::vector<double> out;
  for (const toml::node& item : *node.as_array()) {
    if (!item.is_number()) fail(family, item, "a number is needed");
    out.push_back(*item.value<double>());
  }
  return out;
}

GoldenCase case_from(const std::string& family, const std::string& name, const toml::table& table) {
  GoldenCase out;
  out.family = family;
  out.name = name;
  for (const auto& [key, node] : table) {
    if (key == "origin" && node.is_string()) {
      out.origin = node.as_string()->get();
    } else if (key == "graph" && node.is_string()) {
      out.graph = node.as_string()->get();
    } else if (key == "weights" && node.is_array()) {
      for (const toml::node& item : *node.as_array()) {
        if (!item.is_string()) fail(family, item, "'weights' needs the names of tensors");
        out.weights.push_back(item.as_string()->get());
      }
    } else if (key == "tolerance" && node.is_number()) {
      out.tolerance = *node.value<double>();
    } else if (node.is_table() && node.as_table()->contains("shape") && node.as_table()->contains("values")) {
      const std::string tensor(key.str());
      std::int64_t count = 1;
      auto& shape = out.shapes[tensor];  // there even when it is that of a scalar
      for (const double extent : numbers(family, *node.as_table()->get("shape"))) {
        shape.push_back(static_cast<std::int64_t>(extent));
        count *= static_cast<std::int64_t>(extent);
      }
      out.values[tensor] = numbers(family, *node.as_table()->get("values"));
      if (static_cast<std::int64_t>(out.values[tensor].size()) != count)
        fail(family, node, "tensor '" + tensor + "' has another number of values than its shape");
    } else {
      fail(family, node, "unknown key '" + std::string(key.str()) + "'; a tensor has 'shape' and 'values'");
    }
  }
  for (const std::string& weight : out.weights)
    if (!out.values.contains(weight)) fail(family, table, "case '" + name + "' has no tensor '" + weight + "'");
  if (out.origin.empty()) fail(family, table, "case '" + name + "' does not say who computed it ('origin')");
  if (out.graph.empty()) fail(family, table, "case '" + name + "' does not say what is computed ('graph')");
  return out;
}

}  // namespace

std::vector<GoldenCase> parse_golden(const std::string& family, const std::string& text) {
  try {
    const toml::table table = toml::parse(text, family + ".toml");
    std::vector<GoldenCase> out;
    for (const auto& [name, node] : table) {
      if (!node.is_table()) fail(family, node, "a case is a table");
      out.push_back(case_from(family, std::string(name.str()), *node.as_table()));
    }
    return out;
  } catch (const toml::parse_error& error) {
    throw Error(ErrorCode::invalid_input, "cannot load golden set '" + family + ".toml': line " +
                                              std::to_string(error.source().begin.line) + ": " +
                                              std::string(error.description()));
  }
}

}  // namespace kiln::store
