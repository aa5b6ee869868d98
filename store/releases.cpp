#include "store/releases.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace kiln::store {
namespace {

struct FileEntry {
  std::int64_t bytes = 0;
  std::string sha256;
};
using FileList = std::map<std::string, FileEntry>;  // sorted by path, so that equal releases have equal manifests

// A blob is immutable and its name is its digest, so a link is as good as a copy and costs nothing for 300 MB of
// weights.
void link_blob(const Store& store, const std::string& digest, const std::filesystem::path& target) {
  const std::filesystem::path blob = store.blob_path(digest);
  if (::link(blob.c_str(), target.c_str()) == 0) return;
  if (errno != EXDEV && errno != EPERM && errno != EMLINK)
    throw system_error("cannot link blob " + digest + " to '" + target.string() + "'", errno);
  std::filesystem::copy_file(blob, target);
}

void add_blob(const Store& store, const std::filesystem::path& root, const std::string& path, const std::string& digest,
              FileList& files) {
  link_blob(store, digest, root / path);
  files[path] = {static_cast<std::int64_t>(std::filesystem::file_size(root / path)), digest};
}

void add_text(const std::filesystem::path& root, const std::string& path, const std::string& text, FileList& files) {
  write_file_atomic(root / path, text);
  files[path] = {static_cast<std::int64_t>(text.size()), sha256_hex(text)};
}

json::object launch_counts(const json::object& plan) {
  json::object counts;
  for (const json::value& launch : json::as_array(json::at(plan, "run", "plan.json"), "plan.json")) {
    const std::string label = json::get_string(json::as_object(launch, "a launch"), "label", "a launch");
    json::value& count = counts[label];
    count = (count.is_int64() ? count.get_int64() : 0) + 1;
  }
  return counts;
}

json::object read_object(const std::filesystem::path& file) {
  const json::value v = json::parse(read_file(file, 64u << 20), file.string(), {.bytes = 64u << 20, .depth = 32});
  return json::as_object(v, file.string());
}

}  // namespace

std::string write_release(const Store& store, const ReleaseContent& content, const std::filesystem::path& target) {
  std::error_code ignored;  // create_directory below reports what matters
  std::filesystem::create_directories(target.parent_path(), ignored);
  if (!std::filesystem::create_directory(target))
    throw Error(ErrorCode::conflict, "cannot write a release to '" + target.string() + "': it exists");
  std::filesystem::create_directory(target / "objects");
  FileList files;
  add_text(target, "plan.json", json::pretty(content.plan), files);
  if (!content.constants.empty()) add_blob(store, target, "constants.bin", content.constants, files);
  // A GPU's code objects are cubins, which libkiln hands to the driver; a CPU's are shared objects.
  const bool cpu = json::find_string(content.plan, "target", "plan.json").value_or("cpu") == "cpu";
  const std::string extension = cpu ? ".so" : ".cubin";
  for (const std::string& object : std::set<std::string>(content.objects.begin(), content.objects.end()))
    add_blob(store, target, "objects/" + object + extension, object, files);
  if (!content.sources.empty()) std::filesystem::create_directory(target / "sources");
  for (const auto& [name, text] : content.sources) add_text(target, "sources/" + name, text, files);

  json::array list;
  for (const auto& [path, file] : files)
    list.emplace_back(json::object{{"path", path}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  const std::string manifest = json::pretty(
      json::object{{"format", "kiln-release/1"}, {"plan", "plan.json"}, {"files", list}, {"about", content.about}});
  write_file_atomic(target / "manifest.json", manifest);
  fsync_directory(target / "objects");
  fsync_directory(target.parent_path());
  return sha256_hex(manifest);
}

json::object diff_releases(const std::filesystem::path& from, const std::filesystem::path& to) {
  const json::object before = read_object(from / "plan.json"), after = read_object(to / "plan.json");
  const json::object old_counts = launch_counts(before), new_counts = launch_counts(after);
  json::array removed, added, changed;
  for (const auto& [label, count] : old_counts)
    if (!new_counts.contains(label)) removed.emplace_back(json::object{{"label", label}, {"launches", count}});
    else if (new_counts.at(label) != count)
      changed.emplace_back(json::object{{"label", label}, {"from", count}, {"to", new_counts.at(label)}});
  for (const auto& [label, count] : new_counts)
    if (!old_counts.contains(label)) added.emplace_back(json::object{{"label", label}, {"launches", count}});

  json::array figures;
  for (const char* key : {"threads", "constants_bytes", "prepared_bytes", "temporary_bytes"})
    if (json::at(before, key, "plan.json") != json::at(after, key, "plan.json"))
      figures.emplace_back(json::object{{"figure", key}, {"from", before.at(key)}, {"to", after.at(key)}});
  const auto launches = [](const json::object& plan) { return json::as_array(plan.at("run"), "plan.json").size(); };

  const auto objects = [](const json::object& plan) {
    std::set<std::string> out;
    for (const std::string& digest : json::get_strings(plan, "objects", "plan.json")) out.insert(digest);
    return out;
  };
  const std::set<std::string> old_objects = objects(before), new_objects = objects(after);
  json::array objects_removed, objects_added;
  for (const std::string& digest : old_objects)
    if (!new_objects.contains(digest)) objects_removed.emplace_back(digest);
  for (const std::string& digest : new_objects)
    if (!old_objects.contains(digest)) objects_added.emplace_back(digest);
  return {{"launches", json::object{{"from", launches(before)},
                                    {"to", launches(after)},
                                    {"removed", removed},
                                    {"added", added},
                                    {"changed", changed}}},
          {"objects", json::object{{"removed", objects_removed}, {"added", objects_added}}},
          {"figures", figures}};
}

}  // namespace kiln::store
