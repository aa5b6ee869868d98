// Code objects that another node built.
#include "daemon/control/resources/resources.h"
#include "runtime/base/json.h"

namespace kiln::control {

Answer post_objects(Context& context, const Request& request) {
  constexpr std::string_view what = "the request's body";
  const json::object body = json_body(request, {"bundle", "keys"});
  const std::string bundle = json::get_string(body, "bundle", what);
  std::vector<std::string> keys;
  if (body.contains("keys")) keys = json::get_strings(body, "keys", what);
  Answer answer = json_answer(context.services.jobs.import_objects(bundle, keys));
  answer.object = bundle;
  return answer;
}

}  // namespace kiln::control
