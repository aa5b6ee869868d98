#include "daemon/control/resources/resources.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::control {

Answer get_policies(Context& context, const Request&) {
  const policies::Policy& policy = context.services.default_policy;
  return json_answer(json::object{{"default", json::object{{"name", policy.name},
                                                           {"digest", policy.digest},
                                                           {"text", policy.text},
                                                           {"policy", policies::to_json(policy)}}}});
}

Answer post_policy_check(Context& context, const Request& request) {
  constexpr std::string_view what = "the request's body";
  const json::object body = json_body(request, {"toml", "file_name"});
  const std::string toml = json::get_string(body, "toml", what);
  const std::string file_name = json::find_string(body, "file_name", what).value_or("policy.toml");
  try {
    const policies::Policy policy = policies::parse_policy(toml, file_name);
    return json_answer(json::object{{"valid", true},
                                    {"message", ""},
                                    {"digest", policy.digest},
                                    {"policy", policies::to_json(policy)},
                                    {"changes", policies::diff(context.services.default_policy, policy)}});
  } catch (const Error& error) {  // the question was answered: the policy is wrong, the request is not
    return json_answer(json::object{{"valid", false}, {"message", error.what()}, {"digest", ""}});
  }
}

}  // namespace kiln::control
