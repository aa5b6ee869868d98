// The state of a node: SQLite database, content-addressed blobs, ledger, releases. The only code that speaks SQLite.
//
// Thread rule: every method may be called from any thread. Writes go through one writer thread, which also checkpoints,
// and return when they are durable (synchronous=FULL); reads use their own connections.
// Invariants: (1) what a method acknowledged survives kill -9 and power loss; (2) a row names a blob only if the blob
// is in place; (3) the ledger is a gapless hash chain, and every job entry, release change, template of the site and
// audit record is in it.
// Failure: Error(io | corrupt | conflict | not_found | limit). A full disk puts the store into read-only mode: reads go
// on, writes throw Error(limit) that says what to free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/json.h"
#include "runtime/base/unique_fd.h"

namespace kiln::store {

struct Workload {
  std::string id;        // "w-" and 12 hex digits of the graph's digest
  std::string name;      // the operator's; unique
  std::string model;     // blob: the imported file
  std::string graph;     // blob: serialized graph
  std::string constants; // blob: constants.bin, empty when none
  json::object import;   // options, rewrites, digests of external data
  std::int64_t created_ns = 0;  // wall clock, UTC, nanoseconds since 1970
};

enum class JobState : std::uint8_t { queued, running, paused, done, failed, cancelled };
[[nodiscard]] std::string_view name(JobState s);

struct Job {
  std::string id;  // "j-" and a number
  std::string workload;
  json::object spec;      // policy text and digest, budget, seed: all that the conductor starts from
  JobState state = JobState::queued;
  std::string error;      // when failed
  json::object progress;  // last progress, for a client that comes later
  json::object result;    // summary when done: verdict, releases, speed-up
  std::int64_t created_ns = 0, started_ns = 0, finished_ns = 0;
};

// One entry of a job's record (agents/conductor/journal.h): a fact or a decision.
struct JobEntry {
  std::int64_t sequence = 0;  // 0, 1, 2 ... within the job
  bool decision = false;
  std::string kind;
  std::string request_digest;  // facts only
  std::string content;         // blob: canonical JSON
  std::int64_t ledger = 0;     // sequence in the ledger
  std::int64_t recorded_ns = 0;
};

struct ReleaseRow {
  std::string id;        // SHA-256 of manifest.json
  std::string workload;
  std::int32_t version = 0;  // 1, 2, 3 ... per workload
  std::string job;
  std::string kind;      // "baseline" or "tuned"
  bool current = false;
  json::object summary;  // speed-up, interval, verdict, error
  std::int64_t created_ns = 0;
  std::filesystem::path directory;
};

struct Event {
  std::int64_t serial = 0;  // increasing, never reused
  std::string kind;         // "job.progress", "job.state", "release.promoted", ...
  std::string subject;      // id of the job, release, ...
  json::object detail;
  std::int64_t recorded_ns = 0;
};

struct AuditRow {
  std::int64_t ledger = 0;
  std::int64_t uid = 0;
  std::string role;
  std::string action;   // "POST /v1/jobs"
  std::string object;
  std::int32_t status = 0;
  std::int64_t recorded_ns = 0;
};

// A measured trial of a variant, kept as a prior for later jobs and other nodes.
struct Prior {
  std::string region;
  std::string node;      // digest of what identifies the hardware
  json::object variant;
  std::string verdict;
  double median_ns = 0;
};

// A kernel template that the site added to the corpus.
struct SiteTemplate {
  std::string family, name;
  std::string digest;    // the template's
  std::string content;   // blob: its files (store/corpus/site_template.h)
  std::string evidence;  // blob: what came of the golden cases of its family, canonical JSON
  std::int64_t added_ns = 0;
};

struct LedgerHead {
  std::int64_t size = 0;
  std::string root;        // RFC 6962 tree hash, hex
  std::string checkpoint;  // C2SP tlog-checkpoint text with its signature, empty when nothing was signed yet
};

struct Options {
  std::filesystem::path directory;
  std::int64_t ballast_bytes = 8 << 20;
  bool read_only = false;  // for kctl doctor and tests
};

class Store {
 public:
  // Creates, or migrates (after a VACUUM INTO backup) what is there. A newer schema, another application's file and a
  // failed quick_check are refused with the cause and the name of the backup.
  static std::unique_ptr<Store> open(const Options& options);
  virtual ~Store() = default;
  [[nodiscard]] virtual const std::filesystem::path& directory() const = 0;
  [[nodiscard]] virtual bool read_only() const = 0;

  // -- blobs --------------------------------------------------------------------------------------------------------
  virtual std::string put_blob(std::span<const std::byte> bytes) = 0;  // returns the digest
  std::string put_blob(std::string_view text) { return put_blob(std::as_bytes(std::span(text))); }
  [[nodiscard]] virtual std::string blob(const std::string& digest) const = 0;  // verified; Error(corrupt)
  [[nodiscard]] virtual std::filesystem::path blob_path(const std::string& digest) const = 0;  // Error(not_found)
  [[nodiscard]] virtual bool has_blob(const std::string& digest) const = 0;
  // One upload of this blob is done with. The blob goes when that was the last of its uploads, it came by nothing but
  // uploads since the store was opened, and it was not kept; else nothing happens.
  virtual void drop_upload(const std::string& digest) = 0;
  // Something on record names an uploaded blob, or is about to.
  virtual void keep_blob(const std::string& digest) = 0;
  // The same, and whether it is there with that size: as put_blob of the same bytes, which need not be read for it.
  [[nodiscard]] virtual bool keep_blob(const std::string& digest, std::int64_t bytes) = 0;
  // Streams an upload of unknown length; discards it unless commit() is called. commit() returns the digest. Must not
  // outlive the store.
  class Upload {
   public:
    virtual ~Upload() = default;
    virtual void write(std::span<const std::byte> bytes) = 0;
    [[nodiscard]] virtual std::int64_t size() const = 0;
    virtual std::string commit() = 0;
  };
  [[nodiscard]] virtual std::unique_ptr<Upload> upload(std::int64_t limit_bytes) = 0;

  // -- workloads ----------------------------------------------------------------------------------------------------
  virtual void add_workload(const Workload& w) = 0;  // Error(conflict) when the name is taken by another graph
  [[nodiscard]] virtual std::vector<Workload> workloads() const = 0;
  [[nodiscard]] virtual Workload workload(const std::string& id_or_name) const = 0;

  // -- jobs ---------------------------------------------------------------------------------------------------------
  virtual Job add_job(const std::string& workload, const json::object& spec) = 0;
  [[nodiscard]] virtual std::vector<Job> jobs() const = 0;
  [[nodiscard]] virtual Job job(const std::string& id) const = 0;
  virtual void set_job_state(const std::string& id, JobState state, const std::string& error,
                             const json::object& result) = 0;
  virtual void set_job_progress(const std::string& id, const json::object& progress) = 0;  // not durable at once
  virtual JobEntry append_entry(const std::string& job, const JobEntry& entry) = 0;  // Error(conflict): wrong sequence
  [[nodiscard]] virtual std::vector<JobEntry> entries(const std::string& job) const = 0;

  // -- releases (store/releases.h makes the directories) --------------------------------------------------------------
  virtual ReleaseRow add_release(const ReleaseRow& row, const std::filesystem::path& staged) = 0;
  [[nodiscard]] virtual std::vector<ReleaseRow> releases(const std::string& workload) const = 0;  // empty: all
  [[nodiscard]] virtual ReleaseRow release(const std::string& id_or_prefix) const = 0;
  // Switches <directory>/releases/<workload>/current by one rename, then records it; a crash in between is mended at
  // open.
  virtual void set_current(const std::string& release_id) = 0;
  // The release that was current before; Error(conflict) when there is none.
  virtual ReleaseRow rollback(const std::string& workload) = 0;

  // -- events, audit, priors ------------------------------------------------------------------------------------------
  virtual std::int64_t add_event(std::string_view kind, std::string_view subject, const json::object& detail) = 0;
  [[nodiscard]] virtual std::vector<Event> events_after(std::int64_t serial, std::int32_t limit) const = 0;
  // Called on the writer thread after each event is durable; must not block.
  virtual void on_event(std::function<void(std::int64_t serial)> listener) = 0;
  virtual void add_audit(const AuditRow& row) = 0;
  [[nodiscard]] virtual std::vector<AuditRow> audit(std::int64_t after_ledger, std::int32_t limit) const = 0;
  virtual void add_priors(const std::vector<Prior>& priors) = 0;
  [[nodiscard]] virtual std::vector<Prior> priors(const std::string& region) const = 0;

  // -- templates of the site (store/node_corpus.h says which are in use) ----------------------------------------------
  virtual void add_site_template(const SiteTemplate& row) = 0;  // Error(conflict) when the name is taken
  [[nodiscard]] virtual std::vector<SiteTemplate> site_templates() const = 0;  // by family and name
  virtual void remove_site_template(const std::string& family, const std::string& name) = 0;  // Error(not_found)

  // -- ledger ---------------------------------------------------------------------------------------------------------
  [[nodiscard]] virtual LedgerHead ledger_head() const = 0;
  virtual LedgerHead sign_checkpoint(const std::function<std::string(std::string_view)>& sign_note) = 0;
  // Recomputes the chain and the tree; throws Error(corrupt) naming the first bad entry. Returns the number of entries.
  virtual std::int64_t verify_ledger() const = 0;
};

}  // namespace kiln::store
