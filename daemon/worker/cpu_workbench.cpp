#include "daemon/worker/cpu_workbench.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "daemon/targets/cpu/compile.h"
#include "daemon/targets/cuda/ceilings.h"
#include "daemon/worker/memory.h"
#include "daemon/worker/process.h"
#include "daemon/worker/staging.h"
#include "runtime/base/files.h"

namespace kiln::worker {
namespace {

using agents::Verdict;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kOracleNs = 900 * kSecond;  // our own code: long, but not for ever
constexpr int kPoisons[] = {0xFF, 0x7B};           // a NaN in every float type, and something that is none

constexpr const char* kInstrumentSource = R"(#include "runtime/kernel_abi.h"
extern "C" void kiln_instrument_empty(void* const*, const kiln_task*) {}
extern "C" void kiln_instrument_busy(void* const*, const kiln_task*) {
  volatile float sum = 0;
  for (int i = 0; i < 10000; ++i) sum = sum + 1;
}
)";

// A worker was killed from outside: its work is done again by another one, and says nothing about a candidate until the
// third time, when the candidate's appetite is the likeliest cause.
struct Stopped { std::string evidence; };
constexpr int kAttempts = 3;

Verdict verdict_of(const Answer& answer) {
  if (answer.forbidden) return Verdict::forbidden;
  return answer.kind == Answer::Kind::hung ? Verdict::hung : Verdict::crashed;
}

class NodeWorkbench : public agents::Workbench {
 public:
  NodeWorkbench(const BenchOptions& options, ObjectSource& objects)
      : options_(options), objects_(objects), staging_(options.staging, objects) {}

  agents::NodeFacts probe() override {
    for (int attempt = 1;; ++attempt) {
      try {
        return probe_once();
      } catch (const Stopped& stopped) {
        if (attempt == kAttempts)
          throw Error(ErrorCode::unavailable, "cannot measure the node: the probe worker was " + stopped.evidence,
                      "kctl doctor");
      }
    }
  }

  agents::NodeFacts probe_once() {
    WorkerProcess worker({options_.worker, "probe", {std::to_string(options_.threads), staging_.root().string()}});
    Frame request;
    request.body = stage_instrument();
    const Answer answer = worker.call(request, 60 * kSecond);
    if (answer.stopped) throw Stopped{answer.evidence};
    if (answer.kind != Answer::Kind::answered)
      throw Error(ErrorCode::unavailable, "cannot measure the node: the probe worker was " + answer.evidence,
                  "kctl doctor");
    agents::NodeFacts facts = agents::node_facts_from_json(answer.frame.body);
    facts.compiler = targets::cpu::compiler_version();
    if (gpu()) probe_gpu(facts);
    facts.sandbox = json::get_strings(run_worker().hello(), "sandbox", "a worker's hello");
    return facts;
  }

  std::vector<agents::BuildFact> build(std::span<const agents::BuildRequest> requests) override {
    std::vector<agents::BuildFact> facts(requests.size());
    std::size_t next = 0;
    std::vector<std::unique_ptr<Lane>> lanes;
    for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()) && i < requests.size(); ++i)
      lanes.push_back(std::make_unique<Lane>());
    // Each lane is one worker with one request under way; the oldest is waited for, so that all cores stay busy.
    std::size_t busy = 0;
    for (std::size_t i = 0; next < requests.size() || busy > 0; i = (i + 1) % lanes.size()) {
      Lane& lane = *lanes[i];
      if (lane.busy) {
        const std::optional<agents::BuildFact> fact = finish(lane);
        if (!fact) {
          begin(lane, lane.request, requests[lane.request], i);
          continue;
        }
        facts[lane.request] = *fact;
        lane.attempts = 0;
        --busy;
      }
      if (next < requests.size()) {
        begin(lane, next, requests[next], i);
        ++next;
        ++busy;
      }
    }
    return facts;
  }

  agents::CheckFact check(const agents::CheckRequest& request) override {
    for (int attempt = 1;; ++attempt) {
      try {
        return check_once(request);
      } catch (const Stopped& stopped) {
        if (attempt == kAttempts) return {Verdict::crashed, stopped.evidence, {}, true};
      }
    }
  }

  agents::CheckFact check_once(const agents::CheckRequest& request) {
    // Each candidate in a process of its own: nothing that one leaves in memory meets another. A GPU's context takes a
    // large part of a second to make, and its memory is not where a kernel can keep anything between launches.
    if (!gpu()) run_.reset();
    const std::filesystem::path directory = staging_.stage(request.subject);
    give_graph(request.graph, request.constants);
    agents::CheckFact fact;
    std::vector<std::string> digests, expected;
    Hole first_hole;
    for (const std::string& family : request.families) {
      const json::object key{{"graph", request.graph}, {"family", family}, {"seed", request.seed}};
      // The first family runs twice, at other addresses and over another poison: what was not written shows as a
      // difference.
      const int runs = family == request.families.front() ? 2 : 1;
      for (int run = 0; run < runs; ++run) {
        Frame judged = run_once(directory, key, kPoisons[run], request.timeout_ns, fact);
        if (fact.verdict != Verdict::ok) {
          fact.evidence += " in family '" + family + "'";
          return fact;
        }
        const std::string digest = json::get_string(judged.body, "digest", "a judgement");
        const Hole hole = hole_of(judged.body);
        if (run > 0) {
          if (digest != digests.back() && hole.output >= 0 && hole == first_hole) {
            fact.verdict = Verdict::wrong;
            fact.evidence = "element " + std::to_string(hole.element) + " of output " + std::to_string(hole.output) +
                            " is not written";
          } else if (digest != digests.back()) {
            fact.verdict = Verdict::nondeterministic;
            fact.evidence = "a second run over the same inputs gave other bits";
          }
          if (fact.verdict == Verdict::ok) continue;
          fact.evidence += " in family '" + family + "'";
          return fact;
        }
        first_hole = hole;
        digests.push_back(digest);
        expected.push_back(json::get_string(judged.body, "expected_digest", "a judgement"));
        const std::vector<agents::ErrorFact> errors = errors_of(judged.body);
        fact.errors.insert(fact.errors.end(), errors.begin(), errors.end());
      }
    }
    for (std::size_t i = 1; i < digests.size(); ++i)
      if ((digests[i] == digests[0]) && (expected[i] != expected[0])) fact.input_sensitive = false;
    return fact;
  }

  agents::SampleFact measure(const agents::MeasureRequest& request) override {
    agents::SampleFact fact;
    fact.fresh_process = request.fresh_process;
    const std::int64_t begin = monotonic_ns();
    for (const agents::Subject& subject : request.subjects)
      fact.subjects.push_back({subject.name, Verdict::ok, {}, {}, {}, {}});
    if (request.fresh_process) run_.reset();
    // A subject that kills the worker is named by the progress file, and the others are measured again without it.
    for (int stopped = 0;;) {
      std::vector<std::size_t> alive;
      for (std::size_t i = 0; i < fact.subjects.size(); ++i)
        if (fact.subjects[i].verdict == Verdict::ok) alive.push_back(i);
      for (const std::size_t i : alive) fact.subjects[i] = {fact.subjects[i].name, Verdict::ok, {}, {}, {}, {}};
      try {
        if (alive.empty() || measure_alive(request, alive, fact, stopped)) break;
      } catch (const Stopped& oracle) {
        if (++stopped >= kAttempts)
          throw Error(ErrorCode::unavailable, "cannot judge what was timed: the oracle worker was " + oracle.evidence,
                      "kctl doctor");
      }
    }
    fact.wall_ns = monotonic_ns() - begin;
    return fact;
  }

 private:
  [[nodiscard]] bool gpu() const { return options_.target != "cpu"; }
  // The worker of this bench's target: "run" or "run-cuda".
  [[nodiscard]] Launch launch_of(const std::string& role, std::vector<std::string> arguments) const {
    return {options_.worker, gpu() ? role + "-" + options_.target : role, std::move(arguments),
            gpu() ? options_.library_path : ""};
  }

  Frame ask_probe(WorkerProcess& worker, Frame& request) const {
    Answer answer = worker.call(request, 60 * kSecond);
    if (answer.stopped) throw Stopped{answer.evidence};
    if (answer.kind != Answer::Kind::answered)
      throw Error(ErrorCode::unavailable, "cannot measure the GPU: the probe worker was " + answer.evidence,
                  "kctl doctor");
    return std::move(answer.frame);
  }

  // The GPU's facts take the place of the CPU's where a job for it looks: bandwidths, FLOP/s, the time of a launch.
  void probe_gpu(agents::NodeFacts& facts) {
    WorkerProcess worker(launch_of("probe", {staging_.root().string()}));
    Frame describe;
    describe.body = {{"op", "describe"}};
    facts.gpu = agents::node_facts_from_json(ask_probe(worker, describe).body).gpu;
    agents::BuildRequest kernels;
    kernels.kernel.file_name = "ceilings.cu";
    kernels.kernel.source = targets::cuda::ceiling_kernels_source();
    kernels.kernel.architecture = facts.gpu.value().architecture;
    const agents::BuildFact built = build({&kernels, 1}).front();
    if (built.verdict != Verdict::ok)
      throw Error(ErrorCode::unavailable,
                  "cannot measure the GPU: its measuring kernels do not compile: " +
                      (built.diagnostics.empty() ? std::string(agents::name(built.verdict))
                                                 : built.diagnostics.front().message),
                  "kctl doctor");
    Frame measure;
    measure.body = {{"op", "measure"}};
    measure.fds.push_back(open_object(built.object));
    const Frame measured = ask_probe(worker, measure);
    const auto figures = [&](const char* key) {
      std::map<std::string, double> out;
      for (const auto& member : json::as_object(json::at(measured.body, key, "a probe reply"), key))
        out[std::string(member.key())] = member.value().to_number<double>();
      return out;
    };
    facts.bandwidth = figures("bandwidth");
    facts.flops = figures("flops");
    facts.launch_ns = json::get_double(measured.body, "launch_ns", "a probe reply");
    facts.false_difference_rate = json::get_double(measured.body, "false_difference_rate", "a probe reply");
  }

  // The instrument's own plans: one launch of nothing, and one of some 20 us of work. Without a compiler there are
  // none, and the facts say 0: the build of the first candidate will tell the rest.
  json::object stage_instrument() {
    agents::BuildRequest request;
    request.kernel.file_name = "instrument.cpp";
    request.kernel.source = kInstrumentSource;
    const agents::BuildFact built = build({&request, 1}).front();
    if (built.verdict != Verdict::ok) return {{"empty", ""}, {"busy", ""}};
    const auto staged = [&](const char* symbol) {
      agents::Plan plan;
      plan.name = symbol;
      plan.objects = {built.object};
      agents::PlanLaunch launch;
      launch.symbol = symbol;
      launch.tasks = std::max(1u, std::thread::hardware_concurrency());
      plan.run = {launch};
      return staging_.stage({symbol, plan}).string();
    };
    return {{"empty", staged("kiln_instrument_empty")}, {"busy", staged("kiln_instrument_busy")}};
  }

  // An output element that still had its poison after a run.
  struct Hole {
    std::int64_t output = -1, element = 0;
    friend bool operator==(const Hole&, const Hole&) = default;
  };
  static Hole hole_of(const json::object& judged) {
    const json::array& pair = json::as_array(json::at(judged, "unwritten", "a judgement"), "an element");
    return {pair.at(0).to_number<std::int64_t>(), pair.at(1).to_number<std::int64_t>()};
  }

  struct Lane {
    std::unique_ptr<WorkerProcess> worker;
    std::filesystem::path scratch;
    std::size_t request = 0;
    std::int64_t timeout_ns = 0, deadline_ns = 0;
    int attempts = 0;  // that were stopped
    bool busy = false;
  };

  static bool for_gpu(const agents::BuildRequest& request) { return !request.kernel.architecture.empty(); }

  void begin(Lane& lane, std::size_t index, const agents::BuildRequest& request, std::size_t number) {
    lane.scratch = staging_.fresh_folder("build-" + std::to_string(number));
    if (!lane.worker || !lane.worker->alive())
      lane.worker = std::make_unique<WorkerProcess>(
          for_gpu(request) ? launch_of("build", {options_.include_dir.string(), lane.scratch.string()})
                           : Launch{options_.worker, "build", {options_.include_dir.string(), lane.scratch.string()}});
    Frame frame;
    frame.body = {{"file_name", request.kernel.file_name}, {"flags", json::to_array(request.kernel.compile_flags)},
                  {"libraries", json::to_array(request.kernel.libraries)}, {"timeout_ns", request.timeout_ns}};
    if (for_gpu(request)) {
      frame.body["architecture"] = request.kernel.architecture;
      frame.body["allow_spills"] = false;
    }
    frame.fds.push_back(sealed_file("source", request.kernel.source));
    lane.worker->send(frame);
    lane.request = index;
    lane.timeout_ns = request.timeout_ns;
    lane.deadline_ns = monotonic_ns() + request.timeout_ns + kSecond;  // the worker's own limit comes first
    lane.busy = true;
  }

  // Nothing when the worker was stopped and the build is to be begun again.
  std::optional<agents::BuildFact> finish(Lane& lane) {
    lane.busy = false;
    agents::BuildFact fact;
    const Answer answer = lane.worker->receive(lane.deadline_ns);
    // The scratch folder is the worker's only writable place, so it ends with its build.
    lane.worker.reset();
    if (answer.stopped && ++lane.attempts < kAttempts) return std::nullopt;
    if (answer.kind == Answer::Kind::hung) {
      fact.verdict = Verdict::build_timeout;
      fact.build_ns = lane.timeout_ns;
      return fact;
    }
    if (answer.kind == Answer::Kind::crashed) {
      fact.verdict = Verdict::build_failed;
      fact.diagnostics = {{"", 0, "error", "the build worker was " + answer.evidence}};
      return fact;
    }
    const json::object& body = answer.frame.body;
    fact.build_ns = json::get_int(body, "build_ns", "a build reply");
    for (const json::value& item : json::as_array(json::at(body, "diagnostics", "a build reply"), "diagnostics")) {
      const json::object& d = json::as_object(item, "a diagnostic");
      fact.diagnostics.push_back({json::get_string(d, "file", "a diagnostic"),
                                  static_cast<std::int32_t>(json::get_int(d, "line", "a diagnostic")),
                                  json::get_string(d, "severity", "a diagnostic"),
                                  json::get_string(d, "message", "a diagnostic")});
    }
    if (const json::value* kernels = body.if_contains("kernels"))
      for (const json::value& kernel : json::as_array(*kernels, "kernels"))
        fact.kernels.push_back(agents::kernel_resources_from_json(kernel));
    fact.verdict = agents::verdict_from_name(json::get_string(body, "outcome", "a build reply"));
    if (fact.verdict != Verdict::ok) return fact;
    if (answer.frame.fds.empty()) throw Error(ErrorCode::corrupt, "cannot use a build reply: it has no object");
    const Mapped object = Mapped::received(answer.frame.fds.front().get(), 256u << 20);
    fact.object_bytes = static_cast<std::int64_t>(object.bytes().size());
    fact.object = objects_.put(object.text());
    return fact;
  }

  WorkerProcess& run_worker() {
    if (!run_ || !run_->alive()) run_ = std::make_unique<WorkerProcess>(launch_of("run", {staging_.root().string()}));
    return *run_;
  }

  WorkerProcess& oracle_worker() {
    if (!oracle_ || !oracle_->alive()) {
      oracle_ = std::make_unique<WorkerProcess>(
          Launch{options_.worker, "oracle", {std::to_string(std::max(1u, std::thread::hardware_concurrency()))}});
      given_.clear();
    }
    return *oracle_;
  }

  Frame ask_oracle(Frame& request) {
    Answer answer = oracle_worker().call(request, kOracleNs);
    if (answer.stopped) throw Stopped{answer.evidence};
    if (answer.kind != Answer::Kind::answered)
      throw Error(ErrorCode::unavailable,
                  "cannot compute the expected outputs: the oracle worker was " + answer.evidence, "kctl doctor");
    return std::move(answer.frame);
  }

  UniqueFd open_object(const std::string& digest) const {
    UniqueFd fd(::open(objects_.path(digest).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) throw system_error("cannot open object " + digest, errno);
    return fd;
  }

  void give_graph(const std::string& graph, const std::string& constants) {
    (void)oracle_worker();
    if (given_ == graph) return;
    Frame frame;
    frame.body = {{"op", "graph"}, {"graph", graph}};
    frame.fds.push_back(open_object(graph));
    if (!constants.empty()) frame.fds.push_back(open_object(constants));
    (void)ask_oracle(frame);
    given_ = graph;
  }

  // One run of the candidate over fresh memory; sets the verdict when it did not survive or wrote where it must not.
  Frame run_once(const std::filesystem::path& directory, const json::object& key, int poison, std::int64_t timeout_ns,
                 agents::CheckFact& fact) {
    Frame ask;
    ask.body = key;
    ask.body["op"] = "arena";
    ask.body["poison"] = poison;
    Frame arena = ask_oracle(ask);

    Frame request;
    request.body = {
        {"op", "check"}, {"directory", directory.string()}, {"layout", json::at(arena.body, "layout", "an arena")}};
    request.fds.push_back(std::move(arena.fds.at(0)));
    // The parent keeps its own descriptor: sending duplicates it.
    const Answer answer = run_worker().call(request, timeout_ns);
    if (answer.stopped) throw Stopped{answer.evidence};
    if (answer.kind != Answer::Kind::answered) {
      fact.verdict = verdict_of(answer);
      fact.evidence = answer.evidence;
      return {};
    }
    if (const auto faulted = json::find_string(answer.frame.body, "faulted", "a run reply")) {
      run_.reset();  // what a GPU's context does not survive, its process does not either
      fact.verdict = Verdict::crashed;
      fact.evidence = *faulted;
      return {};
    }
    if (const auto refused = json::find_string(answer.frame.body, "refused", "a run reply")) {
      fact.verdict = Verdict::launch_failed;
      fact.evidence = *refused;
      return {};
    }
    if (const auto forbidden = json::find_string(answer.frame.body, "forbidden", "a run reply")) {
      fact.verdict = Verdict::forbidden;
      fact.evidence = *forbidden;
      run_.reset();  // what it started may still be running there
      return {};
    }
    if (const auto unstable = json::find_string(answer.frame.body, "unstable", "a run reply")) {
      fact.verdict = Verdict::nondeterministic;
      fact.evidence = *unstable;
      return {};
    }
    Frame judge;
    judge.body = key;
    judge.body["op"] = "judge";
    judge.body["poison"] = poison;
    judge.fds = std::move(request.fds);
    Frame judged = ask_oracle(judge);
    if (const std::string why = overwritten(judged.body); !why.empty()) {
      fact.verdict = Verdict::out_of_bounds;
      fact.evidence = why;
    }
    return judged;
  }

  // True when the worker answered; false when a subject was struck off, or the worker was stopped, and the rest must be
  // measured again.
  bool measure_alive(const agents::MeasureRequest& request, const std::vector<std::size_t>& alive,
                     agents::SampleFact& fact, int& stopped) {
    Frame frame;
    json::array subjects;
    for (const std::size_t i : alive)
      subjects.emplace_back(json::object{{"name", request.subjects[i].name},
                                         {"directory", staging_.stage(request.subjects[i]).string()}});
    frame.body = {{"op", "measure"},          {"subjects", subjects},
                  {"warmup", request.warmup}, {"samples", request.samples},
                  {"cold", request.cold},     {"per_launch", request.per_launch},
                  {"seed", request.seed},     {"poison", kPoisons[0]}};
    frame.fds.push_back(memory_file("progress", 4096));
    if (request.proof) add_arenas(*request.proof, alive.size(), frame);
    const std::int64_t flushes =
        request.cold ? std::int64_t{request.samples} * static_cast<std::int64_t>(alive.size()) : 0;
    const Answer answer = run_worker().call(frame, request.timeout_ns + flushes * kSecond / 10);
    if (answer.stopped && ++stopped < kAttempts) return false;
    const auto faulted = answer.kind == Answer::Kind::answered
                             ? json::find_string(answer.frame.body, "faulted", "a run reply")
                             : std::nullopt;
    if (answer.kind != Answer::Kind::answered || faulted) {
      std::uint32_t index = 0;
      const Mapped progress(frame.fds.front().get(), Mapped::Access::read);
      std::memcpy(&index, progress.bytes().data(), sizeof index);
      agents::SampleFact::Subject& culprit = fact.subjects[alive[std::min<std::size_t>(index, alive.size() - 1)]];
      culprit.verdict = faulted ? Verdict::crashed : verdict_of(answer);
      culprit.evidence = faulted.value_or(answer.evidence);
      if (faulted) run_.reset();  // as in run_once()
      return false;
    }
    read_samples(answer.frame.body, alive, fact);
    const auto is_forbidden = [&](std::size_t i) { return fact.subjects[i].verdict == Verdict::forbidden; };
    if (std::any_of(alive.begin(), alive.end(),
                    is_forbidden)) {  // it had a part of the others' time, and may have one still
      run_.reset();
      for (const std::size_t i : alive) fact.subjects[i].ns.clear();
      return false;
    }
    if (request.proof)
      for (std::size_t i = 0; i < alive.size(); ++i)
        prove(*request.proof, std::move(frame.fds.at(1 + i)), fact.subjects[alive[i]]);
    return true;
  }

  static json::object key_of(const agents::Proof& proof) {
    return {{"graph", proof.graph}, {"family", proof.family}, {"seed", proof.seed}, {"poison", kPoisons[0]}};
  }

  // One arena per subject, all of the same inputs.
  void add_arenas(const agents::Proof& proof, std::size_t subjects, Frame& frame) {
    give_graph(proof.graph, proof.constants);
    for (std::size_t i = 0; i < subjects; ++i) {
      Frame ask;
      ask.body = key_of(proof);
      ask.body["op"] = "arena";
      Frame arena = ask_oracle(ask);
      frame.body["layout"] = json::at(arena.body, "layout", "an arena");
      frame.fds.push_back(std::move(arena.fds.at(0)));
    }
  }

  // What the timed call that was drawn for it left in the arena.
  void prove(const agents::Proof& proof, UniqueFd arena, agents::SampleFact::Subject& subject) {
    if (subject.verdict != Verdict::ok || subject.ns.empty()) return;
    Frame judge;
    judge.body = key_of(proof);
    judge.body["op"] = "judge";
    judge.fds.push_back(std::move(arena));
    const Frame judged = ask_oracle(judge);
    subject.errors = errors_of(judged.body);
    if (const std::string why = overwritten(judged.body); !why.empty()) {
      subject.verdict = Verdict::out_of_bounds;
      subject.evidence = why + " while it was timed";
    }
  }

  // Empty when a run left guards and inputs as they were.
  static std::string overwritten(const json::object& judged) {
    const std::int64_t guard = json::get_int(judged, "guard", "a judgement");
    const std::int64_t input = json::get_int(judged, "input", "a judgement");
    if (guard >= 0) return "a guard byte at offset " + std::to_string(guard) + " was overwritten";
    if (input >= 0) return "input " + std::to_string(input) + " was changed";
    return {};
  }

  static std::vector<agents::ErrorFact> errors_of(const json::object& judged) {
    const json::object wrapped{{"verdict", "ok"},
                               {"evidence", ""},
                               {"errors", json::at(judged, "errors", "a judgement")},
                               {"input_sensitive", true}};
    return agents::check_fact_from_json(wrapped).errors;
  }

  static void read_samples(const json::object& body, const std::vector<std::size_t>& alive, agents::SampleFact& fact) {
    const json::array& results = json::as_array(json::at(body, "subjects", "a run reply"), "subjects");
    if (results.size() != alive.size())
      throw Error(ErrorCode::corrupt, "cannot use a run worker's samples: it answered for other subjects");
    const auto numbers = [](const json::value& v) {
      std::vector<double> out;
      for (const json::value& item : json::as_array(v, "samples")) out.push_back(item.to_number<double>());
      return out;
    };
    for (std::size_t i = 0; i < alive.size(); ++i) {
      const json::object& result = json::as_object(results[i], "a subject's samples");
      agents::SampleFact::Subject& subject = fact.subjects[alive[i]];
      if (const auto refused = json::find_string(result, "refused", "a subject's samples")) {
        subject.verdict = Verdict::launch_failed;
        subject.evidence = *refused;
      }
      if (const auto forbidden = json::find_string(result, "forbidden", "a subject's samples")) {
        subject.verdict = Verdict::forbidden;
        subject.evidence = *forbidden;
      }
      subject.ns = numbers(json::at(result, "ns", "a subject's samples"));
      if (const json::value* launches = result.if_contains("launch_ns"))
        for (const json::value& one : json::as_array(*launches, "launch samples"))
          subject.launch_ns.push_back(numbers(one));
    }
    fact.cycles_per_ns = numbers(json::at(body, "cycles_per_ns", "a run reply"));
  }

  const BenchOptions options_;
  ObjectSource& objects_;
  Staging staging_;
  std::unique_ptr<WorkerProcess> run_, oracle_;
  std::string given_;  // the graph that the oracle holds last
};

}  // namespace

std::unique_ptr<agents::Workbench> make_workbench(const BenchOptions& options, ObjectSource& objects) {
  if (options.target != "cpu" && options.target != "cuda")
    throw Error(ErrorCode::invalid_input, "cannot make a bench for target '" + options.target + "': it is cpu or cuda");
  return std::make_unique<NodeWorkbench>(options, objects);
}

std::vector<std::string> sandbox_mechanisms(const BenchOptions& options) {
  WorkerProcess worker({options.worker, "run", {options.staging.string()}});
  return json::get_strings(worker.hello(), "sandbox", "a worker's hello");
}

}  // namespace kiln::worker
