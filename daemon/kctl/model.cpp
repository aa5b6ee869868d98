#include "daemon/kctl/model.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>

#include "daemon/kctl/text.h"
#include "runtime/base/json.h"

namespace kiln::kctl {

std::string upload_file(Session& session, int fd, const std::string& name) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) throw system_error("cannot upload '" + name + "'", errno);
  if (!S_ISREG(info.st_mode))
    throw Error(ErrorCode::invalid_input, "cannot upload '" + name + "': it is not a regular file");
  int shown = -1;
  std::string digest = session.daemon().upload(fd, info.st_size, [&](std::int64_t sent) {
    const int percent = static_cast<int>(100 * static_cast<double>(sent) / static_cast<double>(info.st_size));
    if (!session.live || percent == shown) return;
    shown = percent;
    const auto filled = static_cast<std::size_t>(percent / 5);
    fmt::print(stderr, "\r\x1b[K{} [{}{}] {:3} % of {}", elide_middle(name, 32), std::string(filled, '='),
               std::string(20 - filled, ' '), percent, format_bytes(static_cast<double>(info.st_size)));
  });
  if (shown >= 0) fmt::print(stderr, "\r\x1b[K");
  return digest;
}

std::map<std::string, std::int64_t> parse_shapes(const std::vector<std::string>& texts) {
  std::map<std::string, std::int64_t> out;
  for (const std::string& text : texts) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UsageError(fmt::format("cannot read shape '{}': DIMENSION=EXTENT is needed, e.g. batch=8", text));
    const std::int64_t extent = parse_integer(text.substr(equals + 1), "the extent of shape");
    if (extent < 1) throw UsageError(fmt::format("cannot use shape '{}': an extent is at least 1", text));
    if (!out.emplace(text.substr(0, equals), extent).second)
      throw UsageError(fmt::format("cannot use shape '{}': the dimension is given twice", text));
  }
  return out;
}

std::string workload_name(const std::filesystem::path& file) {
  std::string out;
  const std::string stem = file.stem().native();
  for (const char c : stem) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool plain = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
    if (plain || (!out.empty() && (lower == '.' || lower == '_' || lower == '-'))) out.push_back(lower);
    else if (!out.empty() && out.back() != '-') out.push_back('-');
  }
  out.resize(std::min<std::size_t>(out.size(), 64));
  return out.empty() ? "model" : out;
}

UniqueFd open_beneath(const std::filesystem::path& directory, const std::string& location) {
  const UniqueFd folder(::open(directory.empty() ? "." : directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) throw system_error("cannot open '" + directory.native() + "'", errno);
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, folder.get(), location.c_str(), &how, sizeof how)));
  if (!fd)
    throw system_error(fmt::format("cannot open external data '{}' beneath '{}'", location, directory.native()), errno);
  // A file of several names may be one that the model's author could link to and not read.
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0)
    throw system_error(fmt::format("cannot examine external data '{}'", location), errno);
  if (!S_ISREG(status.st_mode) || status.st_nlink != 1)
    throw Error(ErrorCode::invalid_input,
                fmt::format("cannot open external data '{}' beneath '{}': it is no regular file with one name",
                            location, directory.native()),
                "copy it into the model's folder");
  return fd;
}

std::vector<std::string> quoted_names(std::string_view text) {
  std::vector<std::string> out;
  for (auto begin = text.find('\''); begin != std::string_view::npos;) {
    const auto end = text.find('\'', begin + 1);
    if (end == std::string_view::npos) break;
    out.emplace_back(text.substr(begin + 1, end - begin - 1));
    begin = text.find('\'', end + 1);
  }
  return out;
}

json::object import_model(Session& session, const std::filesystem::path& file, const std::string& name,
                          const std::map<std::string, std::int64_t>& shapes) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    if (errno == ENOENT)
      throw Error(ErrorCode::not_found,
                  fmt::format("cannot open model '{}': No such file or directory", file.native()));
    throw system_error(fmt::format("cannot open model '{}'", file.native()), errno);
  }
  const std::string file_name = file.filename().native();
  json::object request;
  request["name"] = name;
  request["file_name"] = file_name;
  request["model"] = upload_file(session, fd.get(), file_name);
  if (!shapes.empty()) request["dimensions"] = boost::json::value_from(shapes);
  try {
    return session.daemon().post("/v1/workloads", request);
  } catch (const Error& e) {
    const std::vector<std::string> locations = quoted_names(e.remedy());
    if (e.code() != ErrorCode::not_found || locations.empty()) throw;
    json::object external;
    for (const std::string& location : locations) {
      const UniqueFd data = open_beneath(file.parent_path(), location);
      external[location] = upload_file(session, data.get(), location);
    }
    request["external"] = external;
  }
  return session.daemon().post("/v1/workloads", request);
}

}  // namespace kiln::kctl
