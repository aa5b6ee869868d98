#include "daemon/kctl/commands.h"
#include "daemon/kctl/follow.h"

namespace kiln::kctl {

Command watch_command() {
  return {"watch", "Follows a job to its end", "viewer", {positional("job", "Job, e.g. j-1")},
          [](Session& session, const Arguments& arguments) { return follow(session, arguments.text("job")); }};
}

}  // namespace kiln::kctl
