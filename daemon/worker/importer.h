// Imports a model in a worker of its own: whatever the file does to the parser, the daemon stays.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace kiln::worker {

struct ImportJob {
  std::filesystem::path worker;  // kiln-worker
  std::filesystem::path model;
  std::string file_name;                                  // for messages
  std::map<std::string, std::filesystem::path> external;  // location -> file
  std::map<std::string, std::int64_t> dimensions;
};

struct Imported {
  std::string graph;      // JSON
  std::string constants;  // bytes; empty when none
  std::vector<std::string> rewrites;
};

// Throws what graph::onnx::import_model throws; Error(limit) when the model outgrew the worker's memory or time.
[[nodiscard]] Imported import_in_worker(const ImportJob& job);

}  // namespace kiln::worker
