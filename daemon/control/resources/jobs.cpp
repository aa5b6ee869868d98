#include "daemon/control/errors.h"
#include "daemon/control/resources/resources.h"
#include "daemon/control/rows.h"
#include "runtime/base/json.h"

namespace kiln::control {
namespace {

Answer job_answer(Context& context, const std::string& id, unsigned status = 200) {
  Answer answer = json_answer(to_json(context.services.store.job(id)), status);
  answer.object = id;
  return answer;
}

BuildOnly build_only(const json::value& given) {
  constexpr std::string_view what = "member 'build_only' of the request's body";
  const json::object& body = json::as_object(given, what);
  for (const auto& member : body)
    if (member.key() != "architecture" && member.key() != "candidates" && member.key() != "node")
      throw Error(ErrorCode::invalid_input, "cannot read " + std::string(what) + ": unknown member '" +
                                                std::string(member.key()).substr(0, 40) + "'");
  BuildOnly out;
  out.architecture = json::get_string(body, "architecture", what);
  const std::int64_t candidates = json::find_int(body, "candidates", what).value_or(0);
  if (body.contains("candidates") && (candidates < 1 || candidates > 4096))
    throw Error(ErrorCode::invalid_input, "cannot read " + std::string(what) + ": candidates is not in 1 to 4096");
  out.candidates = static_cast<std::int32_t>(candidates);
  if (const json::value* node = body.if_contains("node")) out.node = json::as_object(*node, what);
  return out;
}

}  // namespace

Answer post_job(Context& context, const Request& request) {
  constexpr std::string_view what = "the request's body";
  const json::object body =
      json_body(request, {"workload", "policy_text", "budget_seconds", "seed", "target", "build_only"});
  TuneRequest tune;
  tune.workload = json::get_string(body, "workload", what);
  tune.policy_text = json::find_string(body, "policy_text", what).value_or("");
  tune.budget_seconds = json::find_int(body, "budget_seconds", what).value_or(0);
  if (body.contains("budget_seconds") && tune.budget_seconds < 1)
    throw Error(ErrorCode::invalid_input, "cannot queue a job for '" + tune.workload + "': budget_seconds is below 1");
  const std::int64_t seed = json::find_int(body, "seed", what).value_or(1);
  if (seed < 0)
    throw Error(ErrorCode::invalid_input, "cannot queue a job for '" + tune.workload + "': seed is below 0");
  tune.seed = static_cast<std::uint64_t>(seed);
  tune.target = json::find_string(body, "target", what).value_or("cpu");
  if (tune.target != "cpu" && tune.target != "cuda")
    throw Error(ErrorCode::invalid_input, "cannot queue a job for '" + tune.workload + "': target '" +
                                              tune.target.substr(0, 40) + "' is not cpu or cuda");
  if (const json::value* given = body.if_contains("build_only")) {
    if (body.contains("target") && tune.target != "cuda")
      throw Error(ErrorCode::invalid_input,
                  "cannot queue a job for '" + tune.workload + "': build_only is for target cuda");
    tune.target = "cuda";
    tune.build_only = build_only(*given);
  }
  const store::Job job = context.services.jobs.submit(tune);
  Answer answer = json_answer(to_json(job), 201);
  answer.object = job.id;
  return answer;
}

Answer get_jobs(Context& context, const Request&) {
  json::array rows;
  for (const store::Job& row : context.services.store.jobs()) rows.emplace_back(to_json(row));
  return json_answer(json::object{{"jobs", std::move(rows)}});
}

Answer get_job(Context& context, const Request& request) { return job_answer(context, request.parameters.at("id")); }

Answer post_cancel(Context& context, const Request& request) {
  const std::string& id = request.parameters.at("id");
  (void)context.services.store.job(id);  // ignoring the row: it only has to exist, so that a wrong id is not_found
  context.services.jobs.cancel(id);
  return job_answer(context, id);
}

Answer post_resume(Context& context, const Request& request) {
  const std::string& id = request.parameters.at("id");
  (void)context.services.store.job(id);  // ignoring the row, as above
  context.services.jobs.resume(id);
  return job_answer(context, id);
}

void post_replay(Context& context, const Request& request, const Reply& reply) {
  const std::string id = request.parameters.at("id");
  (void)context.services.store.job(id);  // ignoring the row, as above
  context.services.jobs.replay(id, [reply](std::exception_ptr error, json::object result) {
    reply(error ? error_answer(error) : json_answer(std::move(result)));
  });
}

}  // namespace kiln::control
