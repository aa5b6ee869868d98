// The handlers behind the table of routes, one file per resource. Each takes a request that was already authorised,
// and returns an answer or throws.
#pragma once

#include "daemon/control/context.h"
#include "daemon/control/message.h"

namespace kiln::control {

// status.cpp, health.cpp, metrics.cpp
Answer get_status(Context& context, const Request& request);
Answer get_openapi(Context& context, const Request& request);
Answer get_node(Context& context, const Request& request);
Answer get_doctor(Context& context, const Request& request);
Answer run_golden(Context& context, const Request& request);
Answer get_health(Context& context, const Request& request);
Answer get_metrics(Context& context, const Request& request);

// workloads.cpp
void post_workload(Context& context, const Request& request, const Reply& reply);
Answer get_workloads(Context& context, const Request& request);
Answer get_workload(Context& context, const Request& request);
Answer get_graph(Context& context, const Request& request);

// jobs.cpp, record.cpp
Answer post_job(Context& context, const Request& request);
Answer get_jobs(Context& context, const Request& request);
Answer get_job(Context& context, const Request& request);
Answer post_cancel(Context& context, const Request& request);
Answer post_resume(Context& context, const Request& request);
void post_replay(Context& context, const Request& request, const Reply& reply);
Answer get_entries(Context& context, const Request& request);
Answer get_entry(Context& context, const Request& request);

// artifacts.cpp, reports.cpp
Answer get_candidates(Context& context, const Request& request);
Answer get_artifacts(Context& context, const Request& request);
Answer get_artifact(Context& context, const Request& request);
Answer get_report(Context& context, const Request& request);
Answer get_report_sshsig(Context& context, const Request& request);
Answer get_report_statement(Context& context, const Request& request);
Answer get_report_html(Context& context, const Request& request);

// releases.cpp
Answer get_releases(Context& context, const Request& request);
Answer get_release(Context& context, const Request& request);
Answer get_diff(Context& context, const Request& request);
Answer post_promote(Context& context, const Request& request);
Answer post_rollback(Context& context, const Request& request);

// key.cpp, corpus.cpp, policies.cpp
Answer get_key(Context& context, const Request& request);
Answer get_corpus(Context& context, const Request& request);
Answer get_template(Context& context, const Request& request);
Answer post_template(Context& context, const Request& request);
Answer post_template_removal(Context& context, const Request& request);
Answer get_policies(Context& context, const Request& request);
Answer post_policy_check(Context& context, const Request& request);

// objects.cpp
Answer post_objects(Context& context, const Request& request);

// ledger.cpp
Answer get_audit(Context& context, const Request& request);
Answer get_ledger(Context& context, const Request& request);
Answer post_ledger_verify(Context& context, const Request& request);

// blobs.cpp: the end of an upload, whose bytes the session has streamed into `upload`.
Answer stored_blob(store::Store::Upload& upload);

}  // namespace kiln::control
