#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "policies/policy.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

Exit check(Session& session, const Arguments& arguments) {
  const std::string& file = arguments.text("file");
  try {
    const policies::Policy policy = policies::load_policy(file);
    if (session.json)
      print_json(json::object{
          {"valid", true}, {"message", ""}, {"digest", policy.digest}, {"policy", policies::to_json(policy)}});
    else print_line(fmt::format("{}: policy '{}' is valid, digest {}", file, policy.name, policy.digest));
    return Exit::done;
  } catch (const Error& e) {
    if (!session.json || e.code() == ErrorCode::not_found) throw;
    print_json(json::object{{"valid", false}, {"message", e.what()}, {"digest", ""}});
    return Exit::failed;
  }
}

Exit diff(Session& session, const Arguments& arguments) {
  const json::array changes =
      policies::diff(policies::load_policy(arguments.text("from")), policies::load_policy(arguments.text("to")));
  if (session.json) print_json(changes);
  else if (changes.empty()) say("the policies allow the same");
  else
    for (const json::value& v : changes) {
      const json::object& change = json::as_object(v, "a change");
      print_line(fmt::format("{}: {} -> {}", json::get_string(change, "key", "a change"),
                             json::canonical(json::at(change, "from", "a change")),
                             json::canonical(json::at(change, "to", "a change"))));
    }
  return Exit::done;
}

Exit show(Session& session, const Arguments&) {
  const json::object answer = session.daemon().get("/v1/policies");
  const json::object& node = json::as_object(json::at(answer, "default", "the answer"), "the default policy");
  if (session.json) print_json(node);
  else
    print_line(fmt::format("# policy '{}', digest {}\n{}", json::get_string(node, "name", "the policy"),
                           json::get_string(node, "digest", "the policy"),
                           json::get_string(node, "text", "the policy")));
  return Exit::done;
}

}  // namespace

Command policy_check_command() {
  return {"policy check", "Is a policy file valid; needs no daemon", "", {positional("file", "Policy file")}, check};
}
Command policy_diff_command() {
  return {"policy diff",
          "What two policies allow differently; needs no daemon",
          "",
          {positional("from", "Policy file"), positional("to", "Policy file")},
          diff};
}
Command policy_show_command() { return {"policy show", "The node's default policy", "viewer", {}, show}; }

}  // namespace kiln::kctl
