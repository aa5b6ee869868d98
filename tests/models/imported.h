// An ONNX file with every dimension fixed and no data beside it, as a graph.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "agents/graph/onnx/import.h"
#include "runtime/base/files.h"

namespace kiln::testing {

// Throws Error, as import_model and read_file do.
inline graph::Graph imported(const std::string& file) {
  const auto text = std::make_shared<const std::string>(read_file(file));
  return graph::onnx::import_model(text, std::as_bytes(std::span(*text)), {file, {}}, {}).graph;
}

}  // namespace kiln::testing
