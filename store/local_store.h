// The Store on a local disk. One file per kind of row: workloads.cpp, jobs.cpp, release_rows.cpp, journal_rows.cpp,
// site_templates.cpp.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "store/blobs.h"
#include "store/store.h"
#include "store/writer.h"

namespace kiln::store {

// Connections for reading, lent one at a time. Grows to as many as read at once.
class ReadPool {
 public:
  explicit ReadPool(std::filesystem::path file) : file_(std::move(file)) {}
  class Lease {
   public:
    Lease(ReadPool& pool, std::unique_ptr<Database> db) : pool_(pool), db_(std::move(db)) {}
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    [[nodiscard]] Database& db() const { return *db_; }

   private:
    ReadPool& pool_;
    std::unique_ptr<Database> db_;
  };
  [[nodiscard]] Lease lease();

 private:
  const std::filesystem::path file_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Database>> idle_;  // guarded by mutex_
};

class LocalStore : public Store {
 public:
  explicit LocalStore(const Options& options);
  [[nodiscard]] const std::filesystem::path& directory() const override { return options_.directory; }
  [[nodiscard]] bool read_only() const override { return read_only_; }

  using Store::put_blob;
  std::string put_blob(std::span<const std::byte> bytes) override;
  [[nodiscard]] std::string blob(const std::string& digest) const override { return blobs_.get(digest); }
  [[nodiscard]] std::filesystem::path blob_path(const std::string& digest) const override {
    return blobs_.path(digest);
  }
  [[nodiscard]] bool has_blob(const std::string& digest) const override { return blobs_.has(digest); }
  void drop_upload(const std::string& digest) override;
  void keep_blob(const std::string& digest) override;
  [[nodiscard]] bool keep_blob(const std::string& digest, std::int64_t bytes) override;
  [[nodiscard]] std::unique_ptr<Upload> upload(std::int64_t limit_bytes) override;

  void add_workload(const Workload& w) override;
  [[nodiscard]] std::vector<Workload> workloads() const override;
  [[nodiscard]] Workload workload(const std::string& id_or_name) const override;

  Job add_job(const std::string& workload, const json::object& spec) override;
  [[nodiscard]] std::vector<Job> jobs() const override;
  [[nodiscard]] Job job(const std::string& id) const override;
  void set_job_state(const std::string& id, JobState state, const std::string& error,
                     const json::object& result) override;
  void set_job_progress(const std::string& id, const json::object& progress) override;
  JobEntry append_entry(const std::string& job, const JobEntry& entry) override;
  [[nodiscard]] std::vector<JobEntry> entries(const std::string& job) const override;

  ReleaseRow add_release(const ReleaseRow& row, const std::filesystem::path& staged) override;
  [[nodiscard]] std::vector<ReleaseRow> releases(const std::string& workload) const override;
  [[nodiscard]] ReleaseRow release(const std::string& id_or_prefix) const override;
  void set_current(const std::string& release_id) override;
  ReleaseRow rollback(const std::string& workload) override;

  std::int64_t add_event(std::string_view kind, std::string_view subject, const json::object& detail) override;
  [[nodiscard]] std::vector<Event> events_after(std::int64_t serial, std::int32_t limit) const override;
  void on_event(std::function<void(std::int64_t serial)> listener) override;
  void add_audit(const AuditRow& row) override;
  [[nodiscard]] std::vector<AuditRow> audit(std::int64_t after_ledger, std::int32_t limit) const override;
  void add_priors(const std::vector<Prior>& priors) override;
  [[nodiscard]] std::vector<Prior> priors(const std::string& region) const override;

  void add_site_template(const SiteTemplate& row) override;
  [[nodiscard]] std::vector<SiteTemplate> site_templates() const override;
  void remove_site_template(const std::string& family, const std::string& name) override;

  [[nodiscard]] LedgerHead ledger_head() const override;
  LedgerHead sign_checkpoint(const std::function<std::string(std::string_view)>& sign_note) override;
  std::int64_t verify_ledger() const override;

 private:
  void write(std::function<void(Database&)> work);
  [[nodiscard]] ReadPool::Lease read() const { return pool_.lease(); }
  void require_writable() const;
  void switch_link(const std::string& workload_name, std::int32_t version) const;
  // Switches the link, then runs `record`; a record that fails switches the link back.
  void change_current(const Workload& w, const ReleaseRow& to, std::function<void(Database&)> record);
  void reconcile_releases();
  [[nodiscard]] std::filesystem::path release_folder(const std::string& workload_name) const;

  const Options options_;
  Blobs blobs_;
  std::unique_ptr<Database> db_;  // the writer's
  mutable ReadPool pool_;
  std::atomic<bool> read_only_;
  std::mutex releases_mutex_;  // one change of a `current` link at a time
  std::mutex listener_mutex_;
  std::function<void(std::int64_t)> listener_;  // guarded by listener_mutex_
  std::unique_ptr<Writer> writer_;  // last: ends first
};

[[nodiscard]] std::int64_t wall_ns();

}  // namespace kiln::store
