#include "daemon/control/routes.h"

#include "daemon/control/resources/resources.h"
#include "runtime/base/error.h"

namespace kiln::control {
namespace {

// Answers of one value, or an exception; the dispatcher turns the exception into an answer.
template <Answer (*F)(Context&, const Request&)>
void plain(Context& context, const Request& request, const Reply& reply) {
  reply(F(context, request));
}

constexpr std::int64_t kJson = 1 << 20;
constexpr std::int64_t kEmpty = kEmptyBodyBytes;
constexpr auto kView = Role::viewer;
constexpr auto kOperate = Role::operate;
constexpr auto kAdmin = Role::admin;
constexpr auto kIo = Place::io_thread;
constexpr auto kBack = Place::back_room;

constexpr Route kRoutes[] = {
    {"GET", "/v1/status", kView, false, 0, Kind::call, kIo, "", plain<get_status>},
    {"GET", "/v1/node", kView, false, 0, Kind::call, kBack, "", plain<get_node>},
    {"GET", "/v1/health", kView, false, 0, Kind::call, kBack, "", plain<get_health>},
    {"GET", "/v1/doctor", kView, false, 0, Kind::call, kBack, "", plain<get_doctor>},
    {"GET", "/metrics", kView, false, 0, Kind::call, kBack, "", plain<get_metrics>},
    {"GET", "/v1/openapi.json", kView, false, 0, Kind::call, kIo, "", plain<get_openapi>},

    {"POST", "/v1/blobs", kOperate, true, 0, Kind::upload, kBack, "", nullptr},
    {"POST", "/v1/workloads", kOperate, true, kJson, Kind::call, kBack, "", post_workload},
    {"GET", "/v1/workloads", kView, false, 0, Kind::call, kBack, "", plain<get_workloads>},
    {"GET", "/v1/workloads/{id}", kView, false, 0, Kind::call, kBack, "", plain<get_workload>},
    {"GET", "/v1/workloads/{id}/graph", kView, false, 0, Kind::call, kBack, "", plain<get_graph>},
    {"POST", "/v1/workloads/{id}/rollback", kAdmin, true, kEmpty, Kind::call, kBack, "", plain<post_rollback>},

    {"POST", "/v1/jobs", kOperate, true, kJson, Kind::call, kBack, "", plain<post_job>},
    {"GET", "/v1/jobs", kView, false, 0, Kind::call, kBack, "", plain<get_jobs>},
    {"GET", "/v1/jobs/{id}", kView, false, 0, Kind::call, kBack, "", plain<get_job>},
    {"POST", "/v1/jobs/{id}/cancel", kOperate, true, kEmpty, Kind::call, kBack, "", plain<post_cancel>},
    {"POST", "/v1/jobs/{id}/resume", kOperate, true, kEmpty, Kind::call, kBack, "", plain<post_resume>},
    {"POST", "/v1/jobs/{id}/replay", kOperate, true, kEmpty, Kind::call, kBack, "", post_replay},
    {"GET", "/v1/jobs/{id}/entries", kView, false, 0, Kind::call, kBack, "after", plain<get_entries>},
    {"GET", "/v1/jobs/{id}/entries/{sequence}", kView, false, 0, Kind::call, kBack, "", plain<get_entry>},
    {"GET", "/v1/jobs/{id}/candidates", kView, false, 0, Kind::call, kBack, "", plain<get_candidates>},
    {"GET", "/v1/jobs/{id}/artifacts", kView, false, 0, Kind::call, kBack, "", plain<get_artifacts>},
    {"GET", "/v1/jobs/{id}/artifacts/{name}", kView, false, 0, Kind::call, kBack, "", plain<get_artifact>},
    {"GET", "/v1/events", kView, false, 0, Kind::events, kIo, "after job", nullptr},

    {"GET", "/v1/releases", kView, false, 0, Kind::call, kBack, "workload", plain<get_releases>},
    {"GET", "/v1/releases/{id}", kView, false, 0, Kind::call, kBack, "", plain<get_release>},
    {"GET", "/v1/releases/{id}/diff/{other}", kView, false, 0, Kind::call, kBack, "", plain<get_diff>},
    {"POST", "/v1/releases/{id}/promote", kAdmin, true, kJson, Kind::call, kBack, "", plain<post_promote>},

    {"GET", "/v1/reports/{job}", kView, false, 0, Kind::call, kBack, "", plain<get_report>},
    {"GET", "/v1/reports/{job}/sshsig", kView, false, 0, Kind::call, kBack, "", plain<get_report_sshsig>},
    {"GET", "/v1/reports/{job}/statement", kView, false, 0, Kind::call, kBack, "", plain<get_report_statement>},
    {"GET", "/v1/reports/{job}/html", kView, false, 0, Kind::call, kBack, "", plain<get_report_html>},

    {"GET", "/v1/key", kView, false, 0, Kind::call, kIo, "", plain<get_key>},
    {"GET", "/v1/corpus", kView, false, 0, Kind::call, kIo, "", plain<get_corpus>},
    {"POST", "/v1/corpus", kAdmin, true, kJson, Kind::call, kBack, "", plain<post_template>},
    {"GET", "/v1/corpus/{family}/{name}", kView, false, 0, Kind::call, kIo, "", plain<get_template>},
    {"POST", "/v1/corpus/{family}/{name}/remove", kAdmin, true, kEmpty, Kind::call, kBack, "",
     plain<post_template_removal>},
    {"POST", "/v1/objects", kAdmin, true, kJson, Kind::call, kBack, "", plain<post_objects>},
    {"POST", "/v1/golden/run", kOperate, false, kEmpty, Kind::call, kBack, "", plain<run_golden>},
    {"GET", "/v1/policies", kView, false, 0, Kind::call, kIo, "", plain<get_policies>},
    {"POST", "/v1/policies/check", kView, false, kJson, Kind::call, kBack, "", plain<post_policy_check>},
    {"GET", "/v1/audit", kView, false, 0, Kind::call, kBack, "after limit", plain<get_audit>},
    {"GET", "/v1/ledger", kView, false, 0, Kind::call, kBack, "", plain<get_ledger>},
    {"POST", "/v1/ledger/verify", kOperate, false, kEmpty, Kind::call, kBack, "", plain<post_ledger_verify>},
};

// The next segment of a path that begins with '/', which is removed from it.
std::string_view segment(std::string_view& path) {
  path.remove_prefix(1);
  const std::string_view s = path.substr(0, path.find('/'));
  path.remove_prefix(s.size());
  return s;
}

bool matches(std::string_view pattern, std::string_view path, std::map<std::string, std::string>& parameters) {
  parameters.clear();
  while (!pattern.empty() && !path.empty()) {
    const std::string_view want = segment(pattern);
    const std::string_view have = segment(path);
    if (!want.empty() && want.front() == '{') {
      if (have.empty()) return false;
      parameters[std::string(want.substr(1, want.size() - 2))] = percent_decode(have);
    } else if (want != have) {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

const Route* find_route(Request& request, std::string& allow) {
  std::map<std::string, std::string> parameters;
  for (const Route& route : kRoutes) {
    if (!matches(route.pattern, request.path, parameters)) continue;
    if (route.method == request.method) {
      request.parameters = std::move(parameters);
      return &route;
    }
    allow += (allow.empty() ? "" : ", ") + std::string(route.method);
  }
  if (allow.empty())
    throw Error(ErrorCode::not_found, "cannot find '" + request.path + "' on this daemon",
                "GET /v1/openapi.json lists what there is");
  return nullptr;
}

}  // namespace kiln::control
