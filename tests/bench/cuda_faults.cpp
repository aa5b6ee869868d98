// One job on a GPU, whole, in which every other candidate is given a fault before it is compiled: what each costs,
// and that no other candidate's result is touched. Needs a GPU; tests/cuda/bundle takes it to one. It is started in a
// folder with share/kiln, of a bundle or a build.
//
//     cuda_faults COUNT [KIND [KILN_WORKER [INCLUDE_DIR]]]     exit status 0: all as expected
//
// KIND is a word of the faults' names, "loop"; without one all kinds take turns. After a fault the driver may ask for a
// reset of the GPU, which only an administrator can give: not for a machine that others use.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "agents/conductor/conductor.h"
#include "agents/graph/serialize.h"
#include "daemon/worker/frame.h"
#include "daemon/worker/workbench.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "tests/conductor/fakes.h"
#include "tests/graph/build.h"
#include "tests/worker/object_folder.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

struct Fault {
  const char* name;
  const char* text;  // in front of the kernel's body; empty: in the plan
  std::set<Verdict> verdicts;
};

const Fault kFaults[] = {
    {"illegal address", "*reinterpret_cast<volatile int*>(16) = 1;", {Verdict::crashed}},
    {"misaligned address",
     "(void)*reinterpret_cast<const volatile int*>(static_cast<const char*>(arguments.at[0]) + 1);",
     {Verdict::crashed}},
    {"trap", "__trap();", {Verdict::crashed}},
    {"endless loop", "for (volatile unsigned spin = 0;; ++spin) {}", {Verdict::hung}},
    {"a workspace of 1 TiB", "", {Verdict::launch_failed}},
    {"1 MiB of shared memory", "", {Verdict::launch_failed, Verdict::crashed}},
};

// Hands every call on to the bench, with the faults.
class FaultyBench : public Workbench {
 public:
  FaultyBench(Workbench& bench, std::size_t count, std::string_view kind) : bench_(bench), count_(count) {
    for (const Fault& fault : kFaults)
      if (std::string_view(fault.name).find(kind) != std::string_view::npos) kinds_.push_back(&fault);
    if (kinds_.empty()) throw std::runtime_error("there is no fault of that name");
  }

  struct Checked {
    const Fault* fault = nullptr;  // none
    Verdict verdict = Verdict::ok;
    std::string evidence;
    double ms = 0;
  };
  std::vector<Checked> checked;  // in order

  double copy_rate = 0;          // bytes per second, as the job measured it

  NodeFacts probe(Probing how) override {
    NodeFacts node = bench_.probe(how);
    copy_rate = node.bandwidth.at("memory_copy");
    return node;
  }
  std::vector<BuildFact> build(std::span<const BuildRequest> requests) override {
    std::vector<BuildRequest> faulty(requests.begin(), requests.end());
    std::vector<const Fault*> faults(faulty.size(), nullptr);
    for (std::size_t i = 0; i < faulty.size() && searching_ && injected_ < count_; i += 2) {
      faults[i] = kinds_[injected_++ % kinds_.size()];
      std::string& source = faulty[i].kernel.source;
      source.insert(source.find('{', source.rfind("KILN_ENTRY(")) + 1, faults[i]->text);
    }
    std::vector<BuildFact> facts = bench_.build(faulty);
    for (std::size_t i = 0; i < facts.size(); ++i) {
      if (!faults[i]) continue;
      if (facts[i].verdict != Verdict::ok) {  // it spills, or the like, with the fault or without: another will have it
        --injected_;
        continue;
      }
      by_object_[facts[i].object] = faults[i];
    }
    return facts;
  }
  CheckFact check(const CheckRequest& request) override {
    CheckRequest asked = request;
    const Fault* fault = give(asked.subject.plan);
    const std::int64_t begin = worker::monotonic_ns();
    CheckFact fact = bench_.check(asked);
    add({fault, fact.verdict, fact.evidence, 1e-6 * static_cast<double>(worker::monotonic_ns() - begin)},
        asked.subject.plan);
    return fact;
  }
  // Candidates are looked at before any is checked, several together: the time of a measurement is theirs that failed.
  SampleFact measure(const MeasureRequest& request) override {
    searching_ = true;  // the incumbents are built
    MeasureRequest asked = request;
    std::vector<const Fault*> faults;
    for (Subject& subject : asked.subjects) faults.push_back(give(subject.plan));
    const std::int64_t begin = worker::monotonic_ns();
    SampleFact fact = bench_.measure(asked);
    const double ms = 1e-6 * static_cast<double>(worker::monotonic_ns() - begin);
    const auto failed = static_cast<double>(std::count_if(
        fact.subjects.begin(), fact.subjects.end(), [](const auto& one) { return one.verdict != Verdict::ok; }));
    for (std::size_t i = 0; i < faults.size(); ++i) {
      const SampleFact::Subject& subject = fact.subjects[i];
      if (subject.verdict != Verdict::ok)
        add({faults[i], subject.verdict, subject.evidence, ms / failed}, asked.subjects[i].plan);
    }
    return fact;
  }
  double joules() override { return bench_.joules(); }

 private:
  // What is looked at again alone, or fails its check too, costs both times and has the last verdict.
  void add(const Checked& one, const Plan& plan) {
    if (one.fault) fmt::print("{:<24}{:>8.0f} ms  {}\n", one.fault->name, one.ms, name(one.verdict));
    const auto [known, is_new] = place_.try_emplace(plan.objects.empty() ? "" : plan.objects.front(), checked.size());
    if (is_new || checked[known->second].verdict == Verdict::ok) {
      known->second = checked.size();
      checked.push_back(one);
      return;
    }
    Checked& before = checked[known->second];
    before = {one.fault, one.verdict, one.evidence, before.ms + one.ms};
  }

  const Fault* give(Plan& plan) {
    const auto found = plan.objects.size() == 1 ? by_object_.find(plan.objects.front()) : by_object_.end();
    if (found == by_object_.end()) return nullptr;
    const std::string_view name = found->second->name;
    if (name == "a workspace of 1 TiB") plan.temporary_bytes += std::int64_t{1} << 40;
    if (name == "1 MiB of shared memory") plan.run.front().geometry.value().shared_bytes = 1 << 20;
    return found->second;
  }

  Workbench& bench_;
  const std::size_t count_;
  std::vector<const Fault*> kinds_;
  std::size_t injected_ = 0;
  bool searching_ = false;
  std::map<std::string, const Fault*> by_object_;
  std::map<std::string, std::size_t> place_;  // in `checked`, by object
};

// Blobs where the bench finds them.
class FolderBlobs : public BlobStore {
 public:
  explicit FolderBlobs(testing::ObjectFolder& folder) : folder_(folder) {}
  std::string put(std::string_view bytes) override { return folder_.put(bytes); }
  [[nodiscard]] bool keep(const std::string&, std::int64_t) override { return false; }
  [[nodiscard]] std::string get(const std::string& digest) const override { return read_file(folder_.path(digest)); }

 private:
  testing::ObjectFolder& folder_;
};

// z = softmax(x + y) * x over rows.
JobInput job_of(BlobStore& blobs) {
  JobInput input;
  graph::Graph& g = input.workload;
  const graph::TensorType type{graph::DType::f32, {2048, 2048}};
  const graph::ValueId x = g.add_input("x", type), y = g.add_input("y", type);
  const graph::ValueId sum = graph::test::apply(g, graph::ExprOp::add, x, y);
  const graph::ValueId rows = g.add_node(graph::Softmax{1, false}, {sum}, "rows")[0];
  g.outputs = {graph::test::apply(g, graph::ExprOp::mul, rows, x)};
  input.job = "j-faults";
  input.workload_name = "faults";
  input.target = "cuda";
  input.corpus = store::open_corpus("share/kiln/corpus.db").templates;
  input.policy.seconds = 120;
  input.policy.run_timeout_seconds = 60;
  input.policy.max_candidates_per_region = 130;
  input.policy.stop_at_floor_fraction = 1;
  input.graph_blob = blobs.put(json::canonical(graph::to_json(g)));
  return input;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

// What a fault costs is its part of a look, or its check, and what the next check takes longer than others for want of
// a worker.
bool report(const std::vector<FaultyBench::Checked>& checked, std::size_t count) {
  std::vector<double> right_ms;
  std::size_t faults = 0, unexpected = 0;
  for (const FaultyBench::Checked& one : checked) {
    if (!one.fault && one.verdict == Verdict::ok) right_ms.push_back(one.ms);
    if (!one.fault && one.verdict != Verdict::ok) {
      ++unexpected;
      fmt::print("without a fault: {}: {}\n", name(one.verdict), one.evidence);
    }
  }
  const double usual_ms = median(right_ms);
  struct Kind {
    std::size_t count = 0;
    double worst_ms = 0;
    std::map<std::string, int> verdicts;
    std::string evidence;
  };
  std::map<std::string, Kind> kinds;
  double worst_ms = 0;
  for (std::size_t i = 0; i < checked.size(); ++i) {
    const FaultyBench::Checked& one = checked[i];
    if (!one.fault) continue;
    ++faults;
    const double next_ms = i + 1 < checked.size() && !checked[i + 1].fault ? checked[i + 1].ms - usual_ms : 0;
    const double cost_ms = one.ms + std::max(0.0, next_ms);
    Kind& kind = kinds[one.fault->name];
    ++kind.count;
    ++kind.verdicts[std::string(name(one.verdict))];
    kind.worst_ms = std::max(kind.worst_ms, cost_ms);
    kind.evidence = one.evidence.substr(0, 90);
    worst_ms = std::max(worst_ms, cost_ms);
    if (!one.fault->verdicts.contains(one.verdict)) ++unexpected;
  }
  fmt::print("{:<24}{:>6}{:>12}  {}\n", "fault", "count", "worst", "verdicts");
  for (const auto& [what, kind] : kinds) {
    std::string verdicts;
    for (const auto& [verdict, n] : kind.verdicts) verdicts += fmt::format("{} {} ", n, verdict);
    fmt::print("{:<24}{:>6}{:>9.0f} ms  {}({})\n", what, kind.count, kind.worst_ms, verdicts, kind.evidence);
  }
  fmt::print("{} faults of {}, the dearest {:.0f} ms; {} checks of others were right, {:.0f} ms each; {} not as it "
             "should be\n", faults, count, worst_ms, right_ms.size(), usual_ms, unexpected);
  return faults >= count && unexpected == 0 && worst_ms < 5000;
}

int run(std::size_t count, const std::string& kind, const std::string& worker, const std::string& include) {
  testing::ObjectFolder objects;
  FolderBlobs blobs(objects);
  worker::BenchOptions options = testing::bench_options(objects);
  options.worker = std::filesystem::absolute(worker);
  options.include_dir = std::filesystem::absolute(include);
  options.target = "cuda";
  if (const char* path = std::getenv("LD_LIBRARY_PATH")) options.library_path = path;
  const std::unique_ptr<Workbench> bench = worker::make_workbench(options, objects);
  FaultyBench faulty(*bench, count, kind);
  MemoryJournal journal;
  const JobInput input = job_of(blobs);
  const std::int64_t begin = worker::monotonic_ns();
  const JobOutcome outcome =
      run_job(input, faulty, blobs, journal, [](const std::string&) { return json::array{}; }, worker::monotonic_ns);
  const bool as_expected = report(faulty.checked, count);
  fmt::print("job of {:.0f} s: {}\n", 1e-9 * static_cast<double>(worker::monotonic_ns() - begin),
             json::get_string(outcome.decision, "reason", "the decision"));
  const double after = bench->probe(Probing::anew).bandwidth.at("memory_copy");
  fmt::print("the GPU copies {:.0f} GB/s after it, {:.0f} before\n", 1e-9 * after, 1e-9 * faulty.copy_rate);
  return as_expected && outcome.right && after > 0.9 * faulty.copy_rate ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  (void)std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what was seen stays, whatever becomes of the machine
  try {
    return run(argc > 1 ? static_cast<std::size_t>(std::atoi(argv[1])) : 50, argc > 2 ? argv[2] : "",
               argc > 3 ? argv[3] : "bin/kiln-worker", argc > 4 ? argv[4] : "include/kiln");
  } catch (const std::exception& error) {
    fmt::print("{}\n", error.what());
    return 2;
  }
}
