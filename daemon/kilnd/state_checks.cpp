#include "daemon/kilnd/state_checks.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <span>
#include <vector>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace kiln::kilnd {
namespace fs = std::filesystem;
namespace {

bool is_remote(std::int64_t type) {
  constexpr std::int64_t remote[] = {NFS_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, CEPH_SUPER_MAGIC, V9FS_MAGIC};
  return std::find(std::begin(remote), std::end(remote), type) != std::end(remote);
}

struct stat status_of(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0)
    throw system_error("cannot look at '" + path.string() + "'", errno);
  return status;
}

// Of a file of any size, a piece at a time: weights may be gigabytes.
std::string digest_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw system_error("cannot open '" + path.string() + "'", errno);
  std::vector<char> piece(1 << 20);
  Sha256 hash;
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0)
    hash.update(std::as_bytes(std::span(piece.data(), static_cast<std::size_t>(in.gcount()))));
  if (in.bad()) throw system_error("cannot read '" + path.string() + "'", errno);
  return hash.finish_hex();
}

// The first difference between a release folder and its manifest; empty when there is none.
std::string difference(const fs::path& folder, const std::string& id) {
  const std::string manifest = read_file(folder / "manifest.json", 16u << 20);
  if (sha256_hex(manifest) != id) return "manifest.json has another digest than the store says";
  const json::value parsed = json::parse(manifest, "manifest.json");
  const json::object& object = json::as_object(parsed, "manifest.json");
  for (const json::value& v :
       json::as_array(json::at(object, "files", "manifest.json"), "the files of manifest.json")) {
    const json::object& file = json::as_object(v, "a file of manifest.json");
    const std::string path = json::get_string(file, "path", "a file of manifest.json");
    if (digest_of(folder / path) != json::get_string(file, "sha256", path))
      return path + " has another digest than manifest.json says";
  }
  return {};
}

}  // namespace

Check check_disk(const fs::path& state) {
  struct statvfs status {};
  if (::statvfs(state.c_str(), &status) != 0)
    throw system_error("cannot read the free space of '" + state.string() + "'", errno);
  const auto free_mib = static_cast<std::int64_t>(status.f_bavail * (status.f_frsize >> 10) >> 10);
  const std::string text = fmt::format("{} MiB free in {}", free_mib, state.string());
  // Some file systems do not count inodes and say 0 of 0.
  if (status.f_files > 0 && status.f_favail < 1000)
    return caution("disk", fmt::format("{} inodes free in {}", status.f_favail, state.string()),
                   "delete files that are not needed");
  if (free_mib < 64) return failed("disk", text, "free at least 1 GiB");
  return free_mib < 1024 ? caution("disk", text, "free at least 1 GiB") : passed("disk", text);
}

Check check_state(const fs::path& state) {
  struct statfs system {};
  struct statvfs mount {};
  if (::statfs(state.c_str(), &system) != 0 || ::statvfs(state.c_str(), &mount) != 0)
    throw system_error("cannot look at the file system of '" + state.string() + "'", errno);
  const std::string where = state.string();
  if (is_remote(system.f_type))
    return failed("state", where + " is on a network file system, where SQLite's log is not safe",
                  "put paths.state on a local disk");
  if ((mount.f_flag & ST_NOEXEC) != 0)
    return failed("state", where + " is mounted noexec: no code object loads",
                  "mount -o remount,exec the file system of " + where);
  if (const mode_t mode = status_of(state).st_mode & 07777; (mode & 027) != 0)
    return caution("state", fmt::format("{} has mode {:04o}, which lets others in", where, mode),
                   "chmod 0750 " + where);
  return passed("state", where + " is local, may hold code, and is closed to others");
}

Check check_key(const fs::path& keys) {
  const fs::path pem = keys / "node.pem";
  const auto fault = [](const fs::path& path, mode_t forbidden) -> std::string {
    const struct stat status = status_of(path);
    if (status.st_uid != ::geteuid())
      return fmt::format("{} belongs to uid {}", path.string(), status.st_uid);
    if ((status.st_mode & forbidden) != 0)
      return fmt::format("{} has mode {:04o}", path.string(), status.st_mode & 07777);
    return {};
  };
  if (const std::string text = fault(pem, 077); !text.empty()) {
    return failed("key", text + ": others can use the signing key",
                  "chmod 0400 " + pem.string() +
                      "; if somebody may have read it, move it away and restart kilnd for a new one");
  }
  if (const std::string text = fault(keys, 022); !text.empty())
    return failed("key", text + ": others can replace the signing key", "chmod 0700 " + keys.string());
  return passed("key", pem.string() + " is readable by kilnd alone");
}

Check check_releases(const store::Store& store) {
  int current = 0;
  for (const store::ReleaseRow& row : store.releases({})) {
    if (!row.current) continue;
    ++current;
    const std::string cure = "kctl rollback " + row.workload + ", or tune it again";
    const fs::path link = row.directory.parent_path() / "current";
    std::error_code error;
    if (fs::read_symlink(link, error) != row.directory.filename())
      return failed("releases", fmt::format("{} does not lead to version {}", link.string(), row.version),
                    "restart kilnd, which follows the link");
    try {
      if (const std::string what = difference(row.directory, row.id); !what.empty())
        return failed("releases", row.directory.string() + ": " + what, cure);
    } catch (const Error& damage) {
      return failed("releases", damage.what(), cure);
    }
  }
  return passed("releases", current == 0
                                ? "none is current yet"
                                : fmt::format("{} current, each file as its manifest says", current));
}

}  // namespace kiln::kilnd
