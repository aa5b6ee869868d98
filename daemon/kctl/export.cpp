#include <fmt/core.h>

#include <map>

#include "daemon/kctl/commands.h"
#include "runtime/base/digest.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "store/signing/signing.h"

namespace kiln::kctl {
namespace {

constexpr std::string_view kVerify = R"sh(#!/bin/sh
# Verifies this folder with nothing but sha256sum, openssl and ssh-keygen. Compare the key's fingerprint, which is
# printed last, with the one that the node's operator gave you by another way: a folder cannot vouch for its own key.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sha256sum --check --quiet SHA256SUMS
tr -d '\n' <report.dsse.json | sed 's/.*"payload" *: *"\([^"]*\)".*/\1/' | base64 -d >"$work/payload"
tr -d '\n' <report.dsse.json | sed 's/.*"sig" *: *"\([^"]*\)".*/\1/' | base64 -d >"$work/sig"
cmp "$work/payload" report.statement.json
{ printf 'DSSEv1 {length} {type} %d ' "$(wc -c <"$work/payload")"; cat "$work/payload"; } >"$work/pae"
openssl pkeyutl -verify -pubin -inkey node-key.pem -rawin -in "$work/pae" -sigfile "$work/sig"
ssh-keygen -Y verify -f allowed_signers -I kiln -n {namespace} -s report.sshsig <report.statement.json
ssh-keygen -l -f node-key.pub
)sh";

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  const auto at = text.find(what);
  return at == std::string::npos ? text : text.replace(at, what.size(), by);
}

// Names come from the daemon; a folder of files is all that they may make.
void require_plain(const std::string& name) {
  if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos)
    throw Error(ErrorCode::corrupt, fmt::format("cannot export artifact '{}': it is not a plain file name", name));
}

Exit run(Session& session, const Arguments& arguments) {
  const std::string job = url_encode(arguments.text("job"));
  const std::filesystem::path directory = arguments.text("directory");
  Client& daemon = session.daemon();
  const json::object listed = daemon.get("/v1/jobs/" + job + "/artifacts");
  const json::object key = daemon.get("/v1/key");
  std::map<std::string, std::string> files;
  for (const json::value& v : json::as_array(json::at(listed, "artifacts", "the answer"), "the artifacts")) {
    const json::object& a = json::as_object(v, "an artifact");
    const std::string name = json::get_string(a, "name", "an artifact");
    require_plain(name);
    std::string bytes = daemon.bytes("/v1/jobs/" + job + "/artifacts/" + url_encode(name));
    if (sha256_hex(bytes) != json::get_string(a, "sha256", "an artifact"))
      throw Error(ErrorCode::corrupt,
                  fmt::format("cannot export artifact '{}': its bytes do not have its digest", name));
    files[name] = std::move(bytes);
  }
  const std::string report = "/v1/reports/" + job;
  const std::string ssh = json::get_string(key, "ssh", "the key");
  // A job that only builds decides nothing, and has no report.
  const json::object row = daemon.get("/v1/jobs/" + job);
  const bool reported =
      files.empty() || json::as_object(json::at(row, "result", "the job"), "the result").contains("report");
  if (reported) {
    files["report.dsse.json"] = daemon.bytes(report);
    files["report.statement.json"] = daemon.bytes(report + "/statement");
    files["report.sshsig"] = daemon.bytes(report + "/sshsig");
    files["report.html"] = daemon.bytes(report + "/html");
  }
  files["node-key.pem"] = json::get_string(key, "pem", "the key");
  files["node-key.pub"] = ssh + "\n";
  files["allowed_signers"] = fmt::format("kiln namespaces=\"{}\" {}\n", store::kSshNamespace, ssh);
  std::string sums;
  for (const auto& [name, bytes] : files) sums += fmt::format("{}  {}\n", sha256_hex(bytes), name);
  files["SHA256SUMS"] = sums;
  std::error_code ec;
  std::filesystem::create_directories(directory, ec);
  if (ec) throw Error(ErrorCode::io, fmt::format("cannot make folder '{}': {}", directory.native(), ec.message()));
  for (const auto& [name, bytes] : files) write_file_atomic(directory / name, bytes);
  const std::string script =
      replaced(replaced(replaced(std::string(kVerify), "{length}", fmt::format("{}", store::kPayloadType.size())),
                        "{type}", store::kPayloadType),
               "{namespace}", store::kSshNamespace);
  if (reported) write_file_atomic(directory / "verify.sh", script, 0755);
  if (session.json) {
    json::array names;
    for (const auto& [name, bytes] : files)
      names.emplace_back(json::object{{"name", name}, {"sha256", sha256_hex(bytes)}, {"bytes", bytes.size()}});
    print_json(json::object{{"directory", directory.native()}, {"files", names}});
  } else if (!reported) {
    print_line(fmt::format("{} files in {}", files.size(), directory.native()));
  } else {
    print_line(fmt::format("{} files in {}; {}/verify.sh verifies them with stock tools", files.size() + 1,
                           directory.native(), directory.native()));
  }
  return Exit::done;
}

}  // namespace

Command export_command() {
  return {"export", "Writes a job's artifacts and its signed report as files", "viewer",
          {positional("job", "Job, e.g. j-1"), positional("directory", "Folder to write to; made when missing")}, run};
}

}  // namespace kiln::kctl
