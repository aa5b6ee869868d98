#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/follow.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "store/signing/signing.h"

namespace kiln::kctl {
namespace {

constexpr std::string_view kCommands = R"sh(
to verify with stock tools, in the folder that 'kctl export {0} DIR' writes (verify.sh does the same):
  tr -d '\n' <report.dsse.json | sed 's/.*"payload" *: *"\([^"]*\)".*/\1/' | base64 -d >payload.json
  tr -d '\n' <report.dsse.json | sed 's/.*"sig" *: *"\([^"]*\)".*/\1/' | base64 -d >sig.bin
  {{ printf 'DSSEv1 {1} {2} %d ' "$(wc -c <payload.json)"; cat payload.json; }} >pae.bin
  openssl pkeyutl -verify -pubin -inkey node-key.pem -rawin -in pae.bin -sigfile sig.bin
  ssh-keygen -Y verify -f allowed_signers -I kiln -n {3} -s report.sshsig <payload.json
)sh";

Exit show(Session& session, const Arguments& arguments) {
  const std::string& id = arguments.text("job");
  const json::object job = session.daemon().get("/v1/jobs/" + url_encode(id));
  if (session.json) {
    print_json(session.daemon().get("/v1/reports/" + url_encode(id)));
    return Exit::done;
  }
  const json::object key = session.daemon().get("/v1/key");
  print_result(session, job);
  print_line(fmt::format("signed by {} ({})", json::get_string(key, "fingerprint", "the key"),
                         json::get_string(key, "algorithm", "the key")));
  print_line(
      fmt::format(fmt::runtime(kCommands), id, store::kPayloadType.size(), store::kPayloadType, store::kSshNamespace));
  return Exit::done;
}

Exit verify(Session& session, const Arguments& arguments) {
  const std::filesystem::path file = arguments.text("file");
  const std::filesystem::path key = arguments.find("key").value_or((file.parent_path() / "node-key.pem").native());
  const std::string envelope = read_file(file, std::size_t{256} << 20);
  const std::string pem = read_file(key, 65536);
  try {
    const store::Verified verified = store::verify_envelope(envelope, {pem});
    const json::value statement =
        json::parse(verified.payload, "the statement", {.bytes = std::size_t{256} << 20, .depth = 64});
    const json::object& o = json::as_object(statement, "the statement");
    if (json::get_string(o, "_type", "the statement") != "https://in-toto.io/Statement/v1")
      throw Error(ErrorCode::corrupt, "cannot verify the report: its payload is not an in-toto Statement v1");
    const std::size_t subjects = json::as_array(json::at(o, "subject", "the statement"), "the subjects").size();
    if (session.json)
      print_json(json::object{{"verified", true},
                              {"keyid", verified.keyid},
                              {"predicateType", json::at(o, "predicateType", "the statement")},
                              {"subjects", subjects}});
    else
      print_line(fmt::format("verified: {} is signed by the key in '{}' and speaks of {} subjects", file.native(),
                             key.native(), subjects));
    return Exit::done;
  } catch (const Error& e) {
    say(fmt::format("kctl: {}", e.what()));
    if (session.json) print_json(json::object{{"verified", false}, {"message", e.what()}});
    return Exit::unverified;
  }
}

Exit html(Session& session, const Arguments& arguments) {
  const std::string page = session.daemon().bytes("/v1/reports/" + url_encode(arguments.text("job")) + "/html");
  if (const auto file = arguments.find("output")) write_file_atomic(*file, page);
  else fmt::print("{}", page);
  return Exit::done;
}

}  // namespace

Command report_show_command() {
  return {"report show",
          "A job's result and the stock commands that verify its report",
          "viewer",
          {positional("job", "Job, e.g. j-1")},
          show};
}
Command report_verify_command() {
  return {"report verify",
          "Verifies a signed report; needs no daemon",
          "",
          {positional("file", "DSSE envelope, report.dsse.json"),
           option("key", "PEM", "Public key; default: node-key.pem beside the file")},
          verify};
}
Command report_html_command() {
  return {"report html",
          "The report as one page",
          "viewer",
          {positional("job", "Job, e.g. j-1"), option("output", "FILE", "Default: standard output")},
          html};
}

}  // namespace kiln::kctl
