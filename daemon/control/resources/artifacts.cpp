// What a job wrote: Job.result.artifacts maps names to blobs.
#include <filesystem>

#include "daemon/control/resources/resources.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::control {
namespace {

json::object artifacts_of(const store::Job& job) {
  const json::value* artifacts = job.result.if_contains("artifacts");
  return artifacts == nullptr ? json::object{} : json::as_object(*artifacts, "the artifacts of job '" + job.id + "'");
}

std::string_view content_type(std::string_view file_name) {
  const auto ends = [&](std::string_view ending) { return file_name.ends_with(ending); };
  if (ends(".json")) return "application/json";
  if (ends(".html")) return "text/html; charset=utf-8";
  if (ends(".csv")) return "text/csv; charset=utf-8";
  if (ends(".cpp") || ends(".cu") || ends(".hip") || ends(".h") || ends(".txt") || ends(".md") || ends(".toml"))
    return "text/plain; charset=utf-8";
  return "application/octet-stream";
}

Answer artifact(Context& context, const store::Job& job, const std::string& name) {
  const json::object artifacts = artifacts_of(job);
  const json::value* digest = artifacts.if_contains(name);
  if (digest == nullptr && job.state != store::JobState::done)
    throw Error(ErrorCode::conflict,
                "cannot read artifact '" + name + "' of job '" + job.id + "': the job is " +
                    std::string(store::name(job.state)),
                "wait until it is done");
  if (digest == nullptr)
    throw Error(ErrorCode::not_found,
                "cannot read artifact '" + name + "' of job '" + job.id + "': it wrote none of that name",
                "GET /v1/jobs/" + job.id + "/artifacts lists the names");
  const std::string text = json::get_string(artifacts, name, "the artifacts of job '" + job.id + "'");
  return raw_answer(std::string(content_type(name)), context.services.store.blob(text));
}

}  // namespace

Answer get_candidates(Context& context, const Request& request) {
  return artifact(context, context.services.store.job(request.parameters.at("id")), "candidate_variants.json");
}

Answer get_artifacts(Context& context, const Request& request) {
  const store::Job job = context.services.store.job(request.parameters.at("id"));
  const json::object artifacts = artifacts_of(job);
  json::array rows;
  for (const auto& member : artifacts) {
    const std::string name(member.key());
    const std::string digest = json::get_string(artifacts, name, "the artifacts of job '" + job.id + "'");
    const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(context.services.store.blob_path(digest)));
    rows.emplace_back(json::object{{"name", name}, {"sha256", digest}, {"bytes", bytes}});
  }
  return json_answer(json::object{{"job", job.id}, {"artifacts", std::move(rows)}});
}

Answer get_artifact(Context& context, const Request& request) {
  return artifact(context, context.services.store.job(request.parameters.at("id")), request.parameters.at("name"));
}

}  // namespace kiln::control
