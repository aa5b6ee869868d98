#include <fcntl.h>
#include <fmt/core.h>

#include <cerrno>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/model.h"
#include "daemon/kctl/text.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

constexpr std::size_t kMostKey = 1 << 16;

Exit import(Session& session, const Arguments& arguments) {
  const std::string& file = arguments.text("bundle");
  json::object request;
  // The key is read first, so that a typing error costs no upload.
  if (const auto key = arguments.find("key")) request["keys"] = json::array{json::value(read_file(*key, kMostKey))};
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw system_error("cannot open '" + file + "'", errno);
  request["bundle"] = upload_file(session, fd.get(), std::filesystem::path(file).filename().native());
  const json::object answer = session.daemon().post("/v1/objects", request);
  if (session.json) {
    print_json(answer);
    return Exit::done;
  }
  const std::string what = "the answer";
  const json::object& about = json::as_object(json::at(answer, "about", what), what);
  print_line(fmt::format("{} code objects for {} ({}), {} of them new here, signed by {}",
                         json::get_int(answer, "objects", what), json::find_string(about, "target", what).value_or("?"),
                         format_bytes(json::get_double(answer, "bytes", what)), json::get_int(answer, "added", what),
                         json::get_string(answer, "signer", what)));
  if (!json::get_bool(answer, "same_compiler", what))
    say("caution: they were built with another compiler than this node has, so its jobs build anew");
  return Exit::done;
}

}  // namespace

Command objects_import_command() {
  return {"objects import",
          "Takes in code objects that another node built with tune --build-only",
          "admin",
          {positional("bundle", "File that tune --build-only wrote"),
           option("key", "PEM", "Public key of the node that built it; without, only what this node signed is taken")},
          import};
}

}  // namespace kiln::kctl
