// Requests without a socket: role byte, "METHOD target\n", body. Whatever comes in, one answer goes out, and it is JSON
// or belongs to a route that answers something else.
#include <cstddef>
#include <cstdlib>
#include <optional>

#include "daemon/control/dispatch.h"
#include "daemon/control/errors.h"
#include "runtime/base/json.h"
#include "tests/control/world.h"

using namespace kiln;
using namespace kiln::control;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static testing::World world;
  static Context context(world.services());
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t line = std::min(text.find('\n'), text.size());
  const std::string_view head = text.substr(0, line);
  const std::size_t space = std::min(head.find(' '), head.size());
  Request request;
  request.method = std::string(head.substr(0, space));
  // Mutating calls would fsync on every input; their parsers run before that for a viewer only in policies/check.
  request.role = data[0] % 4 == 3 ? Role::operate : static_cast<Role>(data[0] % 4);
  std::optional<Answer> answer;
  try {
    parse_target(head.substr(std::min(space + 1, head.size())), request);
    request.body = std::string(text.substr(std::min(line + 1, text.size())));
    const Admission admission = admit(context, request, static_cast<std::int64_t>(request.body.size()));
    if (!admission.granted) {
      answer = admission.refusal;
    } else if (admission.route->kind == Kind::call) {
      perform(context, *admission.route, request, [&](Answer a) { answer = std::move(a); });
    } else {
      return 0;
    }
  } catch (const Error& error) {
    answer = error_answer(std::current_exception());
  }
  if (!answer || answer->status < 200 || answer->body.empty()) std::abort();
  if (answer->status >= 400) (void)json::parse(answer->body, "an error");
  return 0;
}
