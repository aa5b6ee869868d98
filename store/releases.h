// Release directories: plan.json, constants.bin, objects/<digest>.so (.cubin for a GPU) and manifest.json with every
// digest (docs/release-format.md). What libkiln loads.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/base/json.h"
#include "store/store.h"

namespace kiln::store {

struct ReleaseContent {
  json::object plan;                 // agents::to_json(Plan)
  std::string constants;             // blob digest, or empty
  std::vector<std::string> objects;  // blob digests
  json::object about;  // workload, job, policy digest, report digest: what the manifest says of its origin
  std::vector<std::pair<std::string, std::string>>
      sources;  // file name, text: kernel sources for people, under sources/
};

// Writes a complete release directory at `target` (which must not exist): constants and objects are hard links to
// blobs. Returns the release id, the SHA-256 of manifest.json. Used for releases and for candidates alike.
std::string write_release(const Store& store, const ReleaseContent& content, const std::filesystem::path& target);

// What differs between two releases: launches added, removed, changed (label, object, source), digests, plan figures.
[[nodiscard]] json::object diff_releases(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace kiln::store
