#include "daemon/worker/staging.h"

#include <unistd.h>

#include <cerrno>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

#include <fstream>

namespace kiln::worker {
namespace {

// Not synced: a candidate's directory need not survive anything.
void write_plain(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush())
    throw Error(ErrorCode::io, "cannot write '" + path.string() + "'", "free space in the state folder");
}

}  // namespace

Staging::Staging(std::filesystem::path root, ObjectSource& objects) : root_(std::move(root)), objects_(objects) {
  std::filesystem::remove_all(root_);
  std::filesystem::create_directories(root_);
}

Staging::~Staging() {
  std::error_code ignored;  // what is left is removed at the next start
  std::filesystem::remove_all(root_, ignored);
}

std::filesystem::path Staging::fresh_folder(const std::string& name) {
  const std::filesystem::path folder = root_ / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  return folder;
}

std::filesystem::path Staging::stage(const agents::Subject& subject) {
  const std::string plan = json::pretty(agents::to_json(subject.plan));
  const std::string key = sha256_hex(plan);
  const std::filesystem::path folder = root_ / key;
  if (!staged_.insert(key).second) return folder;
  std::filesystem::create_directories(folder / "objects");
  json::array files;
  const auto link = [&](const std::string& path, const std::string& digest) {
    const std::filesystem::path blob = objects_.path(digest);
    if (::link(blob.c_str(), (folder / path).c_str()) != 0) {
      if (errno == EEXIST) return;
      std::filesystem::copy_file(blob, folder / path);
    }
    files.emplace_back(
        json::object{{"path", path}, {"bytes", std::filesystem::file_size(folder / path)}, {"sha256", digest}});
  };
  write_plain(folder / "plan.json", plan);
  files.emplace_back(json::object{{"path", "plan.json"}, {"bytes", plan.size()}, {"sha256", key}});
  if (!subject.plan.constants.empty()) link("constants.bin", subject.plan.constants);
  for (const std::string& object : subject.plan.objects) link(agents::object_path(subject.plan.target, object), object);
  const json::object manifest{{"format", "kiln-release/1"},
                              {"plan", "plan.json"},
                              {"files", files},
                              {"about", json::object{{"candidate", subject.name}}}};
  write_plain(folder / "manifest.json", json::pretty(manifest));
  return folder;
}

}  // namespace kiln::worker
