// Prometheus text exposition format 0.0.4: HELP and TYPE once per family, then its samples.
#include <fmt/format.h>

#include <map>

#include "daemon/control/resources/resources.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

namespace kiln::control {
namespace {

void family(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

template <class Number>
void single(std::string& out, std::string_view name, std::string_view type, std::string_view help, Number number) {
  family(out, name, type, help);
  out += fmt::format("{} {}\n", name, number);
}

std::string label(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

void job_figures(std::string& out, const store::Store& store) {
  constexpr store::JobState states[] = {store::JobState::queued, store::JobState::running, store::JobState::paused,
                                        store::JobState::done,   store::JobState::failed,  store::JobState::cancelled};
  std::map<store::JobState, int> counts;
  std::map<std::string, double> speed_ups;  // workload -> of its newest job that is done
  for (const store::Job& job : store.jobs()) {
    ++counts[job.state];
    if (job.state != store::JobState::done) continue;
    const auto* speed_up = job.result.if_contains("speed_up");
    if (speed_up == nullptr || !speed_up->is_object()) continue;
    const auto* ratio = speed_up->get_object().if_contains("ratio");
    if (ratio != nullptr && ratio->is_number()) speed_ups[job.workload] = ratio->to_number<double>();
  }
  family(out, "kiln_jobs", "gauge", "Jobs by state.");
  for (const store::JobState state : states)
    out += fmt::format("kiln_jobs{{state=\"{}\"}} {}\n", store::name(state), counts[state]);
  family(out, "kiln_speed_up_ratio", "gauge",
         "Speed-up over the baseline that the newest finished job of a workload measured.");
  for (const auto& [workload, ratio] : speed_ups)
    out += fmt::format("kiln_speed_up_ratio{{workload=\"{}\"}} {}\n", label(workload), ratio);
}

void process_figures(std::string& out) {
  // Field 2 of /proc/self/statm is the resident set, in pages (proc(5)).
  const std::string statm = read_file("/proc/self/statm", 4096);
  const std::size_t space = statm.find(' ');
  const long pages = space == std::string::npos ? 0 : std::strtol(statm.c_str() + space, nullptr, 10);
  single(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
         pages * ::sysconf(_SC_PAGESIZE));
}

}  // namespace

Answer get_metrics(Context& context, const Request&) {
  const store::Store& store = context.services.store;
  const Figures& figures = context.figures;
  std::string out;
  family(out, "kiln_build_info", "gauge", "The daemon's version.");
  out += fmt::format("kiln_build_info{{version=\"{}\"}} 1\n", label(version()));
  single(out, "kiln_start_time_seconds", "gauge", "Start of the daemon, Unix time.",
         context.started_ns / 1'000'000'000);
  single(out, "kiln_workloads", "gauge", "Imported workloads.", store.workloads().size());
  single(out, "kiln_releases", "gauge", "Releases of all workloads.", store.releases("").size());
  job_figures(out, store);
  single(out, "kiln_ledger_entries", "counter", "Entries of the ledger.", store.ledger_head().size);
  single(out, "kiln_last_event_serial", "counter", "Serial of the newest event.", context.last_event.load());
  single(out, "kiln_store_read_only", "gauge", "1 while the store takes no writes.", store.read_only() ? 1 : 0);
  single(out, "kiln_clients", "gauge", "Open connections.", context.clients.load());
  single(out, "kiln_requests_total", "counter", "Requests answered.", figures.requests.load());
  single(out, "kiln_requests_refused_total", "counter", "Requests refused by role.", figures.refused.load());
  single(out, "kiln_requests_failed_total", "counter", "Requests answered with 5xx.", figures.failed.load());
  single(out, "kiln_requests_cut_total", "counter", "Requests that were not complete in time.",
         figures.requests_cut.load());
  single(out, "kiln_clients_refused_total", "counter", "Connections over the limits.", figures.clients_refused.load());
  single(out, "kiln_event_readers_dropped_total", "counter", "Event readers that were too slow.",
         figures.readers_dropped.load());
  single(out, "kiln_audit_failures_total", "counter", "Audit records that could not be written.",
         figures.audit_failed.load());
  process_figures(out);
  return raw_answer("text/plain; version=0.0.4; charset=utf-8", std::move(out));
}

}  // namespace kiln::control
