#include <unistd.h>

#include "daemon/control/only_one.h"
#include "daemon/control/openapi.h"
#include "daemon/control/resources/resources.h"
#include "daemon/control/routes.h"
#include "runtime/base/json.h"

namespace kiln::control {

std::string version() { return KILN_VERSION; }

Answer get_status(Context& context, const Request& request) {
  json::array capabilities{"events.resume", "blobs.stream", "jobs.replay", "reports.sshsig"};
  for (const Route& route : routes())
    capabilities.emplace_back(std::string(route.method) + " " + std::string(route.pattern));
  const store::Store& store = context.services.store;
  const store::ObjectCache::Size objects = context.services.objects.size();
  const std::string_view state = context.draining ? "draining" : store.read_only() ? "read_only" : "ready";
  return json_answer(json::object{
      {"name", "kilnd"},
      {"version", version()},
      {"api", "v1"},
      {"state", state},
      {"line", context.services.jobs.status_line()},
      {"pid", std::int64_t{::getpid()}},
      {"uid", std::int64_t{request.peer.uid}},
      {"role", name(request.role)},
      {"started_ns", context.started_ns},
      {"uptime_seconds", static_cast<double>(wall_clock_ns() - context.started_ns) * 1e-9},
      {"directory", store.directory().string()},
      {"objects", json::object{{"count", objects.objects}, {"bytes", objects.bytes},
                               {"limit_bytes", objects.limit_bytes}}},
      {"last_event", context.last_event.load()},
      {"clients", context.clients.load()},
      {"capabilities", std::move(capabilities)},
  });
}

Answer get_openapi(Context&, const Request&) { return raw_answer("application/json", std::string(openapi_document())); }

Answer get_node(Context& context, const Request&) { return json_answer(context.services.jobs.node()); }

Answer get_doctor(Context& context, const Request&) {
  const OnlyOne guard(context.examining, "examine the node");
  return json_answer(json::object{{"checks", context.services.jobs.doctor()}});
}

}  // namespace kiln::control
