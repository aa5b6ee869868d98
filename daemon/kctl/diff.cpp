#include "daemon/kctl/commands.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

// A diff is data of many shapes (launches, digests, figures); its JSON is what people read as well.
Exit run(Session& session, const Arguments& arguments) {
  print_json(session.daemon().get("/v1/releases/" + url_encode(arguments.text("from")) + "/diff/" +
                                  url_encode(arguments.text("to"))));
  return Exit::done;
}

}  // namespace

Command diff_command() {
  return {"diff",
          "What differs between two releases",
          "viewer",
          {positional("from", "Release"), positional("to", "Release")},
          run};
}

}  // namespace kiln::kctl
