// ONNX file -> op graph. The bytes are untrusted: limits on size, depth, tensors and time; an error names file, node
// and cause; nothing is half-imported.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::graph::onnx {

// Bytes of one external-data file, by the location that the model names. Locations that are absolute, or have "..",
// an empty part or a backslash, are refused before this is asked. Returning a null owner means "not given".
struct ExternalData {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
};
// Called with each part of the model file when parsing is done with it, in order: a caller that has the file mapped may
// drop the part's pages, so that weights are never in memory twice.
using PartRead = std::function<void(std::span<const std::byte> part)>;
using ExternalDataSource = std::function<ExternalData(const std::string& location)>;

struct Options {
  std::string file_name;  // for messages
  std::map<std::string, std::int64_t> dimensions;  // symbolic dimension -> extent, from `--shape batch=8`
  PartRead part_read{};                            // may be empty
};

struct Result {
  Graph graph;
  std::vector<std::string>
      rewrites;  // what import folded and recognised, one line each: "layer_norm: /LayerNorm/Pow ..."
};

// `model` is the whole .onnx file and is shared, not copied, for weights stored inside it. Throws Error: invalid_input
// (malformed), unsupported (operator, type, opset; names the node), not_found (external data missing; remedy lists the
// locations), invalid_input for an unbound dimension (names it and the option that binds it).
[[nodiscard]] Result import_model(std::shared_ptr<const void> owner, std::span<const std::byte> model,
                                  const Options& options, const ExternalDataSource& external);

// The external-data locations that a model names, in order, without importing it.
[[nodiscard]] std::vector<std::string> external_locations(std::span<const std::byte> model,
                                                          const std::string& file_name);

}  // namespace kiln::graph::onnx
