#include <array>
#include <cstdlib>

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "store/ledger/ledger.h"
#include "store/local_store.h"
#include "store/rows.h"

namespace kiln::store {
namespace {

constexpr std::array<std::string_view, 6> kStates = {"queued", "running", "paused", "done", "failed", "cancelled"};
constexpr const char* kJobColumns =
    "SELECT number, workload, spec, state, error, progress, result, created_ns, started_ns, finished_ns FROM jobs";

JobState state_from(const std::string& text) {
  for (std::size_t i = 0; i < kStates.size(); ++i)
    if (kStates[i] == text) return static_cast<JobState>(i);
  throw Error(ErrorCode::corrupt, "cannot read a job: its state is '" + text + "'");
}

std::int64_t number_of(const std::string& id) {
  if (id.size() < 3 || !id.starts_with("j-") || id.find_first_not_of("0123456789", 2) != std::string::npos ||
      id.size() > 18)
    throw Error(ErrorCode::not_found, "cannot find job '" + id.substr(0, 40) + "': no such job", "kctl jobs");
  return std::atoll(id.c_str() + 2);
}

Job job_from(const Statement& row) {
  Job job;
  job.id = "j-" + std::to_string(row.integer(0));
  job.workload = row.text(1);
  job.spec = parse_column(row.text(2));
  job.state = state_from(row.text(3));
  job.error = row.text(4);
  job.progress = parse_column(row.text(5));
  job.result = parse_column(row.text(6));
  job.created_ns = row.integer(7);
  job.started_ns = row.integer(8);
  job.finished_ns = row.integer(9);
  return job;
}

}  // namespace

std::string_view name(JobState s) { return kStates.at(static_cast<std::size_t>(s)); }

Job LocalStore::add_job(const std::string& workload_id, const json::object& spec) {
  std::int64_t number = 0;
  write([&](Database& db) {
    Statement(db, "INSERT INTO jobs(workload, spec, state, created_ns) VALUES (?, ?, 'queued', ?)")
        .bind(workload_id, column(spec), wall_ns())
        .run();
    number = db.query_int("SELECT max(number) FROM jobs");
    (void)ledger::append(db, "job", "j-" + std::to_string(number), column(spec), wall_ns());
  });
  return job("j-" + std::to_string(number));
}

std::vector<Job> LocalStore::jobs() const {
  const auto lease = read();
  std::vector<Job> out;
  Statement rows(lease.db(), std::string(kJobColumns) + " ORDER BY number");
  while (rows.step()) out.push_back(job_from(rows));
  return out;
}

Job LocalStore::job(const std::string& id) const {
  const auto lease = read();
  Statement row(lease.db(), std::string(kJobColumns) + " WHERE number = ?");
  row.bind(number_of(id));
  if (!row.step()) throw Error(ErrorCode::not_found, "cannot find job '" + id + "': no such job", "kctl jobs");
  return job_from(row);
}

void LocalStore::set_job_state(const std::string& id, JobState state, const std::string& error,
                               const json::object& result) {
  const std::int64_t number = number_of(id);
  write([&](Database& db) {
    const std::int64_t now = wall_ns();
    const bool ended = state == JobState::done || state == JobState::failed || state == JobState::cancelled;
    Statement(db,
              "UPDATE jobs SET state = ?, error = ?, result = ?, started_ns = CASE WHEN ? AND started_ns = 0 THEN ? "
              "ELSE started_ns END, "
              "finished_ns = CASE WHEN ? THEN ? ELSE 0 END WHERE number = ?")
        .bind(name(state), error, column(result), std::int64_t{state == JobState::running}, now, std::int64_t{ended},
              now, number)
        .run();
    (void)ledger::append(db, "job.state", id,
                         column(json::object{{"state", name(state)}, {"error", error}, {"result", result}}), now);
  });
}

void LocalStore::set_job_progress(const std::string& id, const json::object& progress) {
  if (read_only_) return;  // progress is for people, and the next one says more
  writer_->post([number = number_of(id), text = column(progress)](Database& db) {
    Statement(db, "UPDATE jobs SET progress = ? WHERE number = ?").bind(text, number).run();
  });
}

JobEntry LocalStore::append_entry(const std::string& id, const JobEntry& given) {
  JobEntry entry = given;
  const std::int64_t number = number_of(id);
  if (!has_blob(entry.content))
    throw Error(ErrorCode::not_found, "cannot record an entry of job " + id + ": its content is not stored");
  write([&](Database& db) {
    Statement count(db, "SELECT count(*) FROM entries WHERE job = ?");
    count.bind(number);
    (void)count.step();
    if (count.integer(0) != entry.sequence)
      throw Error(ErrorCode::conflict, "cannot record entry " + std::to_string(entry.sequence) + " of job " + id +
                                           ": it has " + std::to_string(count.integer(0)) + " entries");
    entry.recorded_ns = wall_ns();
    entry.ledger = ledger::append(
        db, entry.decision ? "decision" : "fact", id,
        std::to_string(entry.sequence) + " " + entry.kind + " " + entry.request_digest + " " + entry.content,
        entry.recorded_ns);
    Statement(db,
              "INSERT INTO entries(job, sequence, decision, kind, request_digest, content, ledger, recorded_ns) VALUES "
              "(?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(number, entry.sequence, std::int64_t{entry.decision}, entry.kind, entry.request_digest, entry.content,
              entry.ledger, entry.recorded_ns)
        .run();
  });
  return entry;
}

std::vector<JobEntry> LocalStore::entries(const std::string& id) const {
  const auto lease = read();
  std::vector<JobEntry> out;
  Statement rows(lease.db(),
                 "SELECT sequence, decision, kind, request_digest, content, ledger, recorded_ns FROM entries WHERE job "
                 "= ? ORDER BY sequence");
  rows.bind(number_of(id));
  while (rows.step())
    out.push_back({rows.integer(0), rows.integer(1) != 0, rows.text(2), rows.text(3), rows.text(4), rows.integer(5),
                   rows.integer(6)});
  return out;
}

}  // namespace kiln::store
