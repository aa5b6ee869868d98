#include "daemon/worker/measure_subjects.h"

#include <algorithm>

#include "daemon/targets/processor_time.h"
#include "daemon/worker/attempts.h"
#include "daemon/worker/memory.h"
#include "daemon/worker/progress.h"
#include "runtime/base/json.h"

namespace kiln::worker {

using agents::Verdict;
using MeasuredSubject = agents::SampleFact::Subject;

namespace {

std::vector<double> numbers_of(const json::value& v) {
  std::vector<double> out;
  for (const json::value& item : json::as_array(v, "samples")) out.push_back(item.to_number<double>());
  return out;
}

void read_subject(const json::object& reply, MeasuredSubject& subject) {
  const char* what = "a subject's samples";
  if (const auto refused = json::find_string(reply, "refused", what)) {
    subject.verdict = Verdict::launch_failed;
    subject.evidence = *refused;
  }
  if (const auto forbidden = json::find_string(reply, "forbidden", what)) {
    subject.verdict = Verdict::forbidden;
    subject.evidence = *forbidden;
  }
  subject.ns = numbers_of(json::at(reply, "ns", what));
  if (const json::value* energies = reply.if_contains("nj")) subject.nj = numbers_of(*energies);
  if (const json::value* launches = reply.if_contains("launch_ns"))
    for (const json::value& one : json::as_array(*launches, "launch samples"))
      subject.launch_ns.push_back(numbers_of(one));
}

class Measurement {
 public:
  Measurement(BenchWorkers& workers, const agents::MeasureRequest& request)
      : workers_(workers), request_(request) {
    fact_.fresh_process = request.fresh_process;
    for (const agents::Subject& subject : request.subjects)
      fact_.subjects.push_back({subject.name, Verdict::ok, {}, {}, {}, {}, {}});
  }

  agents::SampleFact run() {
    const std::int64_t begin = monotonic_ns();
    if (request_.fresh_process) workers_.end_run_worker();
    for (int stopped_oracles = 0;;) {
      find_alive();
      try {
        if (alive_.empty() || measure_alive()) break;
      } catch (const Stopped& oracle) {
        if (++stopped_oracles >= kAttempts)
          throw unavailable("judge what was timed", "oracle", oracle.evidence);
      }
    }
    fact_.wall_ns = monotonic_ns() - begin;
    return std::move(fact_);
  }

 private:
  void find_alive() {
    alive_.clear();
    for (std::size_t i = 0; i < fact_.subjects.size(); ++i) {
      if (fact_.subjects[i].verdict != Verdict::ok) continue;
      fact_.subjects[i] = {fact_.subjects[i].name, Verdict::ok, {}, {}, {}, {}, {}};
      alive_.push_back(i);
    }
  }

  // True when the worker answered for all; false when a subject was struck off, or the worker was stopped,
  // and the rest must be measured again.
  bool measure_alive() {
    if (!workers_.gpu()) workers_.end_run_worker();  // one that has run a kernel takes no more code
    Frame frame = frame_of_alive();
    const std::int64_t samples = std::int64_t{request_.samples} * static_cast<std::int64_t>(alive_.size());
    const std::int64_t flushes_ns = request_.cold ? samples * kSecond / 10 : 0;
    // A counter that moves ten times a second wants half a second of calls, and some more until it moves.
    const std::int64_t counting_ns = request_.objective == agents::Objective::energy ? samples * kSecond : 0;
    const std::int64_t limit_ns = request_.timeout_ns + request_.limit_ns + flushes_ns + counting_ns;
    // A GPU has no other users, and the time is one subject's.
    const std::int64_t most_ns =
        workers_.gpu() ? static_cast<std::int64_t>(alive_.size()) * limit_ns : targets::wall_limit_ns(limit_ns);
    const Answer answer = workers_.run_worker().call(frame, Patience{limit_ns, request_.timeout_ns, most_ns});
    if (answer.stopped && ++stopped_ < kAttempts) return false;
    if (const auto why = json::find_string(answer.frame.body, "unshared", "a run reply")) {
      workers_.oracle().do_not_share(*why);
      return false;
    }
    if (const auto failure = run_failure_of(answer)) {
      if (failure->worker_is_tainted) workers_.end_run_worker();
      MeasuredSubject& culprit = subject_under_way(frame.fds.front().get());
      culprit.verdict = failure->verdict;
      culprit.evidence = failure->evidence;
      return false;
    }
    read_samples(answer.frame.body);
    const auto is_forbidden = [&](std::size_t i) { return fact_.subjects[i].verdict == Verdict::forbidden; };
    if (std::any_of(alive_.begin(), alive_.end(),
                    is_forbidden)) {  // it had a part of the others' time, and may have still
      workers_.end_run_worker();
      for (const std::size_t i : alive_) fact_.subjects[i].ns.clear();
      return false;
    }
    for (std::size_t i = 0; i < arenas_.size(); ++i) {
      arenas_[i].memory = std::move(frame.fds.at(1 + i));
      prove(std::move(arenas_[i]), fact_.subjects[alive_[i]]);
    }
    return true;
  }

  Frame frame_of_alive() {
    json::array subjects;
    for (const std::size_t i : alive_) {
      const agents::Subject& subject = request_.subjects[i];
      const std::string directory = workers_.staging().stage(subject).string();
      subjects.emplace_back(json::object{{"name", subject.name}, {"directory", directory}});
    }
    Frame frame;
    frame.body = {{"op", "measure"},           {"subjects", subjects},
                  {"warmup", request_.warmup}, {"samples", request_.samples},
                  {"objective", agents::name(request_.objective)}, {"instances", request_.instances},
                  {"cold", request_.cold},     {"per_launch", request_.per_launch},
                  {"seed", request_.seed},     {"poison", kPoisons[0]},
                  {"limit_ns", request_.limit_ns}};
    frame.fds.push_back(memory_file("progress", kProgressBytes));
    arenas_.clear();
    if (request_.proof) add_arenas(frame);
    if (request_.objective == agents::Objective::energy && !workers_.gpu()) workers_.rapl().lend(frame);
    return frame;
  }

  // One arena per subject, all of the same inputs.
  void add_arenas(Frame& frame) {
    workers_.oracle().give_graph(request_.proof->graph, request_.proof->constants);
    for (std::size_t i = 0; i < alive_.size(); ++i) {
      arenas_.push_back(workers_.oracle().arena(proof_key(), 1));
      OracleClient::Arena& arena = arenas_.back();
      frame.body["layout"] = arena.layout;
      if (arena.shared.is_null() != arenas_.front().shared.is_null())
        throw Stopped{"the GPU had no memory left for an arena"};
      if (!arena.shared.is_null()) frame.body["shared"] = arena.shared;
      frame.fds.push_back(std::move(arena.memory));
    }
  }

  ArenaKey proof_key() const {
    return {request_.proof->graph, request_.proof->family, request_.proof->seed, kPoisons[0], Edge::end};
  }

  MeasuredSubject& subject_under_way(int progress_file) {
    const Mapped progress(progress_file, Mapped::Access::read);
    const std::size_t index = read_progress(progress.bytes()).subject;
    return fact_.subjects[alive_[std::min(index, alive_.size() - 1)]];
  }

  void read_samples(const json::object& body) {
    const json::array& results = json::as_array(json::at(body, "subjects", "a run reply"), "subjects");
    if (results.size() != alive_.size())
      throw Error(ErrorCode::corrupt, "cannot use a run worker's samples: it answered for other subjects");
    for (std::size_t i = 0; i < alive_.size(); ++i)
      read_subject(json::as_object(results[i], "a subject's samples"), fact_.subjects[alive_[i]]);
    fact_.cycles_per_ns = numbers_of(json::at(body, "cycles_per_ns", "a run reply"));
  }

  // Judges what the timed call that was drawn for it left in the arena.
  void prove(OracleClient::Arena arena, MeasuredSubject& subject) {
    if (subject.verdict != Verdict::ok || subject.ns.empty()) return;
    const Findings findings = workers_.oracle().judge(proof_key(), std::move(arena));
    subject.errors = findings.errors;
    const std::string what = overwritten(findings);
    if (what.empty()) return;
    subject.verdict = Verdict::out_of_bounds;
    subject.evidence = what + " while it was timed";
  }

  BenchWorkers& workers_;
  const agents::MeasureRequest& request_;
  agents::SampleFact fact_;
  std::vector<std::size_t> alive_;  // indices of the subjects that nothing speaks against
  std::vector<OracleClient::Arena> arenas_;  // of them, when the request wants proof; their memory is in the frame
  int stopped_ = 0;                          // run workers
};

}  // namespace

agents::SampleFact measure_subjects(BenchWorkers& workers, const agents::MeasureRequest& request) {
  return Measurement(workers, request).run();
}

}  // namespace kiln::worker
