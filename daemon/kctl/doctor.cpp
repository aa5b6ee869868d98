#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

Exit run(Session& session, const Arguments&) {
  const json::object answer = session.daemon().get("/v1/doctor");
  bool failed = false;
  for (const json::value& v : json::as_array(json::at(answer, "checks", "the doctor"), "the checks")) {
    const json::object& check = json::as_object(v, "a check");
    const std::string result = json::get_string(check, "result", "a check");
    failed |= result == "FAIL";
    if (session.json) continue;
    const std::string_view sgr = result == "PASS" ? "32" : result == "FAIL" ? "31" : "33";
    print_line(fmt::format("{}{} {}: {}", session.paint(sgr, result),
                           std::string(8 - std::min<std::size_t>(8, result.size()), ' '),
                           json::get_string(check, "check", "a check"), json::get_string(check, "detail", "a check")));
    const std::string cure = json::get_string(check, "cure", "a check");
    if (!cure.empty()) print_line(fmt::format("         cure: {}", cure));
  }
  if (session.json) print_json(answer);
  return failed ? Exit::failed : Exit::done;
}

}  // namespace

Command doctor_command() { return {"doctor", "Checks the node and says how to cure what is wrong", "viewer", {}, run}; }

}  // namespace kiln::kctl
