#include "daemon/kilnd/jobs.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "daemon/kilnd/ahead.h"
#include "daemon/kilnd/bench.h"
#include "daemon/kilnd/doctor.h"
#include "daemon/kilnd/golden.h"
#include "daemon/kilnd/job_input.h"
#include "daemon/kilnd/job_journal.h"
#include "daemon/kilnd/publish.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"

namespace kiln::kilnd {
namespace {

std::int64_t monotonic_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Replays touch no hardware: whatever asks this bench for something has left the record.
class NoBench : public agents::Workbench {
 public:
  agents::NodeFacts probe(agents::Probing) override { refuse(); }
  std::vector<agents::BuildFact> build(std::span<const agents::BuildRequest>) override { refuse(); }
  agents::CheckFact check(const agents::CheckRequest&) override { refuse(); }
  agents::SampleFact measure(const agents::MeasureRequest&) override { refuse(); }
  double joules() override { refuse(); }

 private:
  [[noreturn]] static void refuse() {
    throw Error(ErrorCode::diverged, "cannot replay: the agents ask for a measurement that is not on record");
  }
};

json::array priors_from(const store::Store& store, const std::string& region) {
  json::array out;
  for (const store::Prior& prior : store.priors(region))
    out.emplace_back(
        json::object{{"variant", prior.variant}, {"verdict", prior.verdict}, {"median_ns", prior.median_ns}});
  return out;
}

// Thread rule: the public methods may be called from any thread; run_one() only on the job thread.
// Invariant: a job is in state `running` exactly while the job thread works on it, or after a crash until the next
// start.
class JobRunner : public control::JobControl {
 public:
  explicit JobRunner(JobEnvironment env) : env_(std::move(env)) {
    for (const store::Job& job : env_.store.jobs())
      if (job.state == store::JobState::queued || job.state == store::JobState::running ||
          job.state == store::JobState::paused)
        queue_.push_back(job.id);
    std::sort(queue_.begin(), queue_.end(), [&](const std::string& a, const std::string& b) {
      return env_.store.job(a).created_ns < env_.store.job(b).created_ns;
    });
    thread_ = std::thread([this] { loop(); });
  }

  ~JobRunner() override {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
      stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
    if (replay_.joinable()) replay_.join();
  }

  JobRunner(const JobRunner&) = delete;
  JobRunner& operator=(const JobRunner&) = delete;

  store::Job submit(const control::TuneRequest& request) override {
    const store::Workload workload = env_.store.workload(request.workload);
    const store::Job job = env_.store.add_job(workload.id, job_spec(env_, request));
    env_.store.add_event("job.state", job.id, json::object{{"state", "queued"}, {"workload", workload.name}});
    enqueue(job.id);
    return job;
  }

  void cancel(const std::string& id) override {
    const store::Job job = env_.store.job(id);
    const std::lock_guard lock(mutex_);
    if (running_ == id) {
      cancelled_ = true;
      stop_ = true;
      return;
    }
    const auto waiting = std::find(queue_.begin(), queue_.end(), id);
    if (waiting == queue_.end())
      throw Error(ErrorCode::conflict, "cannot cancel job " + id + ": it is " + std::string(store::name(job.state)));
    queue_.erase(waiting);
    set_state(id, store::JobState::cancelled, {}, {});
  }

  void resume(const std::string& id) override {
    const store::Job job = env_.store.job(id);
    if (job.state == store::JobState::done || job.state == store::JobState::running ||
        job.state == store::JobState::queued)
      throw Error(ErrorCode::conflict, "cannot resume job " + id + ": it is " + std::string(store::name(job.state)));
    set_state(id, store::JobState::queued, {}, {});
    enqueue(id);
  }

  void replay(const std::string& id, control::Done<json::object> done) override {
    const store::Job job = env_.store.job(id);
    if (job.state != store::JobState::done)
      throw Error(ErrorCode::conflict,
                  "cannot replay job " + id + ": it is " + std::string(store::name(job.state)) + ", not done");
    const std::lock_guard lock(mutex_);
    if (replaying_)
      throw Error(ErrorCode::conflict, "cannot replay job " + id + ": another replay is under way",
                  "try again when it has ended");
    if (replay_.joinable()) replay_.join();
    replaying_ = true;
    replay_ = std::thread([this, job, done = std::move(done)] { replay_one(job, done); });
  }

  [[nodiscard]] json::object node() const override {
    const std::lock_guard lock(mutex_);
    if (!node_.empty()) return node_;
    // What the newest job found: one before it may have been for another target.
    const std::vector<store::Job> jobs = env_.store.jobs();
    for (auto job = jobs.rbegin(); job != jobs.rend(); ++job)
      for (const store::JobEntry& entry : env_.store.entries(job->id))
        if (!entry.decision && entry.kind == "node")
          return json::parse(env_.store.blob(entry.content), "node facts").get_object();
    return {{"state", "not probed yet"}};
  }

  [[nodiscard]] json::array doctor() const override { return examine(env_); }
  [[nodiscard]] json::object golden() const override { return run_golden(env_); }

  json::object add_template(const std::string& name, const std::map<std::string, std::string>& files) override {
    return kilnd::add_template(env_, name, files);
  }
  void remove_template(const std::string& family, const std::string& name) override {
    env_.corpus.remove(family, name);
    env_.store.add_event("corpus.removed", family + "/" + name, {});
  }

  json::object import_objects(const std::string& blob, const std::vector<std::string>& keys) override {
    return kilnd::import_objects(env_, blob, keys);
  }

  [[nodiscard]] std::string status_line() const override {
    const std::lock_guard lock(mutex_);
    if (running_.empty()) return queue_.empty() ? "idle" : std::to_string(queue_.size()) + " jobs queued";
    const store::Job job = env_.store.job(running_);
    std::string line = "tuning " + env_.store.workload(job.workload).name + " (" + job.id + ")";
    if (const json::value* phase = job.progress.if_contains("phase"); phase && phase->is_string())
      line += ": " + std::string(phase->get_string());
    return line;
  }

 private:
  void enqueue(const std::string& id) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(id);
    }
    wake_.notify_all();
  }

  void set_state(const std::string& id, store::JobState state, const std::string& error, const json::object& result) {
    env_.store.set_job_state(id, state, error, result);
    json::object detail{{"state", store::name(state)}};
    if (!error.empty()) detail["error"] = error;
    env_.store.add_event("job.state", id, detail);
  }

  void loop() {
    for (;;) {
      std::string id;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return closing_ || !queue_.empty(); });
        if (closing_) return;
        id = queue_.front();
        queue_.pop_front();
        running_ = id;
        cancelled_ = false;
        stop_ = false;
      }
      run_one(id);
      const std::lock_guard lock(mutex_);
      running_.clear();
    }
  }

  void run_one(const std::string& id) {
    try {
      const store::Job job = env_.store.job(id);
      set_state(id, store::JobState::running, {}, {});
      const agents::JobInput input = job_input(env_, job);
      const std::unique_ptr<agents::Workbench> bench = make_bench(env_, id, job_target(job), input.policy);
      StoreBlobs blobs(env_.store);
      JobJournal journal(env_.store, id, JobJournal::Mode::live, stop_);
      const auto priors = [&](const std::string& region) { return priors_from(env_.store, region); };
      if (builds_only(job)) {
        set_state(id, store::JobState::done, {},
                  build_for_another(env_, job, {input, *bench, journal, priors, monotonic_ns}));
        return;
      }
      const agents::JobOutcome outcome = agents::run_job(input, *bench, blobs, journal, priors, monotonic_ns);
      const json::object result = publish(env_, job, outcome);
      keep_priors(outcome);
      set_state(id, store::JobState::done, {}, result);
    } catch (const Error& error) {
      ended_early(id, error);
    } catch (const std::exception& error) {
      ended_early(id, Error(ErrorCode::internal, error.what()));
    }
  }

  // A stop by the daemon's end leaves the job resumable; one by the operator ends it; anything else is its error.
  void ended_early(const std::string& id, const Error& error) {
    bool by_operator = false;
    {
      const std::lock_guard lock(mutex_);
      by_operator = cancelled_;
    }
    try {
      if (error.code() != ErrorCode::cancelled)
        set_state(id, store::JobState::failed,
                  error.remedy().empty() ? error.what() : std::string(error.what()) + "; " + error.remedy(), {});
      else
        set_state(id, by_operator ? store::JobState::cancelled : store::JobState::paused, {}, {});
    } catch (const Error&) {
      // The store cannot take the state; the job stays `running` there and is resumed at the next start.
    }
  }

  // What makes times of one node say something about another: the processor and the compiler, not its name.
  static std::string hardware(const agents::JobOutcome& outcome) {
    const json::object& node = json::as_object(json::at(outcome.trace, "node", "a trace"), "a trace's node");
    json::object what;
    for (const char* key : {"cpu_model", "features", "cores", "l1d_bytes", "l2_bytes", "l3_bytes", "compiler"})
      what[key] = json::at(node, key, "a trace's node");
    if (const json::value* gpu = node.if_contains("gpu")) what["gpu"] = *gpu;
    return sha256_hex(json::canonical(what));
  }

  void keep_priors(const agents::JobOutcome& outcome) {
    std::vector<store::Prior> priors;
    const std::string node = hardware(outcome);
    for (const json::value& item : outcome.priors) {
      const json::object& prior = item.get_object();
      priors.push_back({json::get_string(prior, "region", "prior"), node,
                        json::at(prior, "variant", "prior").get_object(), json::get_string(prior, "verdict", "prior"),
                        json::get_double(prior, "median_ns", "prior")});
    }
    env_.store.add_priors(priors);
  }

  void replay_one(const store::Job& job, const control::Done<json::object>& done) {
    json::object result;
    std::exception_ptr failure;
    try {
      const agents::JobInput input = job_input(env_, job);
      NoBench bench;
      StoreBlobs blobs(env_.store);
      JobJournal journal(env_.store, job.id, JobJournal::Mode::replay, never_);
      const auto priors = [](const std::string&) { return json::array{}; };
      const json::object decision =
          builds_only(job) ? replay_ahead(env_, job, {input, bench, journal, priors, monotonic_ns})
                           : agents::run_job(input, bench, blobs, journal, priors, monotonic_ns).decision;
      journal.expect_end();
      // Written and read once, as the result was: the parser may round a number's last bit.
      const json::value again = json::parse(json::canonical(decision), "the replayed decision");
      const bool same = json::canonical(json::at(job.result, builds_only(job) ? "ahead" : "decision",
                                                 "job " + job.id)) == json::canonical(again);
      if (!same)
        throw Error(ErrorCode::diverged,
                    "cannot confirm job " + job.id + ": the replayed decision is another than the released one");
      result = {
          {"job", job.id}, {"entries", journal.entries()}, {"decisions", journal.decisions()}, {"identical", true}};
    } catch (...) {
      failure = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      replaying_ = false;
    }
    done(failure, std::move(result));
  }

  const JobEnvironment env_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::string> queue_;  // guarded by mutex_, as are the next four
  std::string running_;
  bool cancelled_ = false;
  bool closing_ = false;
  bool replaying_ = false;
  json::object node_;
  std::atomic<bool> stop_{false};  // read by the journal on the job thread
  const std::atomic<bool> never_{false};
  std::thread thread_;
  std::thread replay_;
};

}  // namespace

std::unique_ptr<control::JobControl> make_job_runner(JobEnvironment env) {
  return std::make_unique<JobRunner>(std::move(env));
}

}  // namespace kiln::kilnd
