// The signed report of a job: Job.result.report names the blobs. They are served as they were signed, byte for byte.
#include "daemon/control/resources/resources.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::control {
namespace {

Answer part(Context& context, const Request& request, std::string_view member, std::string_view content_type) {
  const store::Job job = context.services.store.job(request.parameters.at("job"));
  const std::string what = "the report of job '" + job.id + "'";
  const json::value* report = job.result.if_contains("report");
  if (report == nullptr)
    throw Error(ErrorCode::conflict,
                "cannot read " + what + ": the job is " + std::string(store::name(job.state)) + " and has none",
                "a report is signed when a job is done");
  const std::string digest = json::get_string(json::as_object(*report, what), member, what);
  return raw_answer(std::string(content_type), context.services.store.blob(digest));
}

}  // namespace

Answer get_report(Context& context, const Request& request) {
  return part(context, request, "envelope", "application/vnd.dsse.envelope.v1+json");
}

Answer get_report_sshsig(Context& context, const Request& request) {
  return part(context, request, "sshsig", "application/x-pem-file");
}

Answer get_report_statement(Context& context, const Request& request) {
  return part(context, request, "statement", "application/vnd.in-toto+json");
}

Answer get_report_html(Context& context, const Request& request) {
  return part(context, request, "html", "text/html; charset=utf-8");
}

}  // namespace kiln::control
