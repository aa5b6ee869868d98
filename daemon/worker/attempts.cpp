#include "daemon/worker/attempts.h"

#include "runtime/base/error.h"

namespace kiln::worker {

Error unavailable(const std::string& purpose, const std::string& role, const std::string& evidence) {
  return Error(ErrorCode::unavailable, "cannot " + purpose + ": the " + role + " worker was " + evidence,
               "kctl doctor");
}

Frame answered(Answer answer, const std::string& purpose, const std::string& role) {
  if (answer.stopped) throw Stopped{answer.evidence};
  if (answer.kind != Answer::Kind::answered) throw unavailable(purpose, role, answer.evidence);
  return std::move(answer.frame);
}

}  // namespace kiln::worker
