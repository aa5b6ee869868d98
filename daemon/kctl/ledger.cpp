#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

Exit show(Session& session, const Arguments&) {
  const json::object head = session.daemon().get("/v1/ledger");
  if (session.json) print_json(head);
  else
    print_line(fmt::format("entries     {}\nroot        {}\ncheckpoint\n{}", json::get_int(head, "size", "the ledger"),
                           json::get_string(head, "root", "the ledger"),
                           json::get_string(head, "checkpoint", "the ledger")));
  return Exit::done;
}

Exit verify(Session& session, const Arguments&) {
  try {
    const json::object answer = session.daemon().post("/v1/ledger/verify");
    if (session.json) print_json(answer);
    else print_line(fmt::format("the ledger is intact: {} entries", json::get_int(answer, "entries", "the answer")));
    return Exit::done;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::corrupt) throw;
    say(fmt::format("kctl: {}", e.what()));
    return Exit::unverified;
  }
}

}  // namespace

Command ledger_show_command() {
  return {"ledger show", "Size, root and signed checkpoint of the ledger", "viewer", {}, show};
}
Command ledger_verify_command() {
  return {"ledger verify", "Recomputes the chain and the tree", "operator", {}, verify};
}

}  // namespace kiln::kctl
