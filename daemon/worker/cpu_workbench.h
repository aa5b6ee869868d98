// The Workbench of a node: keeps workers, gives them work, and turns what becomes of them into facts. One thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "agents/workbench.h"

namespace kiln::worker {

// Code objects and constants by digest.
class ObjectSource {
 public:
  virtual ~ObjectSource() = default;
  virtual std::string put(std::string_view bytes) = 0;
  [[nodiscard]] virtual std::filesystem::path path(const std::string& digest) const = 0;  // a read-only file
};

struct BenchOptions {
  std::filesystem::path worker;       // kiln-worker
  std::filesystem::path include_dir;  // holds runtime/kernel_abi.h
  std::filesystem::path staging;      // the bench's own folder: made, filled, and removed at the end
  std::int32_t threads = 0;           // 0: all usable cores
  std::string target{"cpu"};          // "cpu", "cuda": what candidates are built for and run on
  std::string
      library_path{};  // folders with a driver or compiler of a GPU that are not the system's own, colons between
};

// Throws Error(invalid_input) for another target.
[[nodiscard]] std::unique_ptr<agents::Workbench> make_workbench(const BenchOptions& options, ObjectSource& objects);

// What the workers of this node can be held to: the mechanisms that a run worker reported. Throws when none starts.
[[nodiscard]] std::vector<std::string> sandbox_mechanisms(const BenchOptions& options);

}  // namespace kiln::worker
