#include "daemon/kilnd/job_journal.h"

#include "runtime/base/digest.h"
#include "runtime/base/json.h"

namespace kiln::kilnd {

JobJournal::JobJournal(store::Store& store, std::string job, Mode mode, const std::atomic<bool>& stop)
    : store_(store), job_(std::move(job)), mode_(mode), stop_(stop), entries_(store.entries(job_)) {}

const store::JobEntry* JobJournal::next() const { return position_ < entries_.size() ? &entries_[position_] : nullptr; }

void JobJournal::diverge(const std::string& cause) const {
  throw Error(ErrorCode::diverged,
              "cannot follow the record of job " + job_ + " at entry " + std::to_string(position_) + ": " + cause,
              "the record was made by another version or corpus of Kiln; tune again");
}

json::value JobJournal::fact(std::string_view kind, const json::value& request,
                             const std::function<json::value()>& take) {
  const std::string digest = sha256_hex(json::canonical(request));
  if (const store::JobEntry* entry = next()) {
    if (entry->decision || entry->kind != kind)
      diverge("it holds '" + entry->kind + "' where the agents now ask for '" + std::string(kind) + "'");
    if (entry->request_digest != digest) diverge("the agents now ask something else of '" + std::string(kind) + "'");
    ++position_;
    return json::parse(store_.blob(entry->content), "the record of job " + job_, {.bytes = 256u << 20, .depth = 32});
  }
  if (mode_ == Mode::replay) diverge("the record ends where the agents ask for '" + std::string(kind) + "'");
  // Through text, so that a live run decides on exactly the bytes that a replay will read.
  const std::string content = json::canonical(take());
  append(false, kind, digest, content);
  return json::parse(content, "a fact of job " + job_, {.bytes = 256u << 20, .depth = 32});
}

void JobJournal::decision(std::string_view kind, const json::value& artifact) {
  const std::string content = json::canonical(artifact);
  ++decisions_;
  if (const store::JobEntry* entry = next()) {
    if (!entry->decision || entry->kind != kind)
      diverge("it holds '" + entry->kind + "' where the agents now decide '" + std::string(kind) + "'");
    if (entry->content != sha256_hex(content)) diverge("the agents now decide '" + std::string(kind) + "' otherwise");
    ++position_;
    return;
  }
  if (mode_ == Mode::replay) diverge("the record ends where the agents decide '" + std::string(kind) + "'");
  append(true, kind, {}, content);
}

void JobJournal::append(bool decision, std::string_view kind, std::string request_digest, const std::string& content) {
  store::JobEntry entry;
  entry.sequence = static_cast<std::int64_t>(position_);
  entry.decision = decision;
  entry.kind = kind;
  entry.request_digest = std::move(request_digest);
  entry.content = store_.put_blob(content);
  entries_.push_back(store_.append_entry(job_, entry));
  ++position_;
}

void JobJournal::progress(const Progress& p) {
  // What is on record already happened; telling it again would move the operator's bar backwards.
  if (mode_ == Mode::replay || position_ < entries_.size()) return;
  json::object detail = p.detail;
  detail["phase"] = p.phase;
  detail["fraction"] = p.fraction;
  store_.set_job_progress(job_, detail);
  store_.add_event("job.progress", job_, detail);
}

void JobJournal::expect_end() const {
  if (const store::JobEntry* entry = next()) diverge("it goes on with '" + entry->kind + "' after the agents ended");
}

}  // namespace kiln::kilnd
