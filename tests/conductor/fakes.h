// A bench that invents its facts from digests, and a journal in memory that can be cut at any entry.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agents/conductor/conductor.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"

namespace kiln::agents {

inline double unit_from(const std::string& text) {
  return static_cast<double>(std::stoull(sha256_hex(text).substr(0, 12), nullptr, 16)) /
         static_cast<double>(1ull << 48);
}

// Times are a function of the plan, plus noise that depends on how often the bench was asked: two live runs differ, as
// on real hardware, and only the record makes them equal.
class FakeBench : public Workbench {
 public:
  int calls = 0;
  std::set<Objective> objectives;  // that were asked for
  std::string wrong_template;  // every variant of this template computes wrong values
  std::string wrong_label;     // a launch of a region whose label holds this computes wrong values
  std::string slow_label;      // a launch of a region whose label holds this takes ten times as long
  double error = 1;            // of every candidate, over that of the plain evaluation
  std::vector<double> load;    // of the first probes: what was measured is this part of the truth
  int probes = 0;
  std::set<std::int32_t> instances;
  std::set<std::string> opponents;  // the plans that a tuned one was measured beside
  std::string energy_counter;  // that the node has
  double joules_each = 0;      // that joules() tells
  std::int64_t spent_ns = 0;   // by builds, checks and measurements, at the durations below
  std::int64_t build_ns = 0, check_ns = 0, measure_ns = 0;

  NodeFacts probe(Probing) override {
    ++calls;
    NodeFacts facts;
    facts.cpu_model = "fake";
    facts.features = {"sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl"};
    facts.cores = 2;
    facts.l1d_bytes = 48 << 10;
    facts.l2_bytes = 2 << 20;
    facts.l3_bytes = 64 << 20;
    facts.memory_bytes = 8ll << 30;
    facts.compiler = "fake c++";
    facts.bandwidth = {
        {"l1_read", 8e11}, {"l2_read", 2e11}, {"l3_read", 6e10}, {"memory_read", 2e10}, {"memory_copy", 2e10}};
    facts.flops = {{"f32", 2.8e11}, {"f64", 1.4e11}};
    facts.launch_ns = 100;
    facts.energy_counter = energy_counter;
    if (energy_counter.empty()) facts.no_energy_counter = "nobody counts";
    const double seen = static_cast<std::size_t>(probes) < load.size() ? load[static_cast<std::size_t>(probes)] : 1;
    ++probes;
    for (auto* figures : {&facts.bandwidth, &facts.flops})
      for (auto& [unused, value] : *figures) value *= seen;
    return facts;
  }
  std::vector<BuildFact> build(std::span<const BuildRequest> requests) override {
    ++calls;
    spent_ns += build_ns * static_cast<std::int64_t>(requests.size());
    std::vector<BuildFact> facts;
    for (const BuildRequest& request : requests) {
      BuildFact fact;
      fact.object = sha256_hex(request.kernel.source);
      fact.object_bytes = 1000;
      fact.build_ns = 1'000'000;
      template_of_[fact.object] = request.kernel.variant.family + "/" + request.kernel.variant.template_name;
      if (unit_from(fact.object + "build") < 0.1 && request.kernel.variant.template_name != "onednn") {
        fact.verdict = Verdict::build_failed;
        fact.diagnostics = {{"kernel.cpp", 7, "error", "'vfma' was not declared in this scope"}};
      }
      facts.push_back(fact);
    }
    return facts;
  }
  CheckFact check(const CheckRequest& request) override {
    ++calls;
    spent_ns += check_ns;
    CheckFact fact;
    for (const std::string& family : request.families) {
      ErrorFact of_family;
      of_family.family = family;
      of_family.normwise_plain = 1e-6;
      of_family.normwise = error * of_family.normwise_plain;
      of_family.max_scaled = of_family.max_scaled_plain = 1e-6;
      for (const std::string& object : request.subject.plan.objects)
        if (!wrong_template.empty() && template_of_[object] == wrong_template) of_family.normwise = 0.1;
      for (const PlanLaunch& launch : request.subject.plan.run)
        if (!wrong_label.empty() && launch.label.find(wrong_label) != std::string::npos) of_family.normwise = 0.1;
      fact.errors.push_back(of_family);
    }
    return fact;
  }
  SampleFact measure(const MeasureRequest& request) override {
    ++calls;
    spent_ns += measure_ns;
    SampleFact fact;
    fact.fresh_process = request.fresh_process;
    if (request.subjects.back().name == "tuned")
      opponents.insert(json::canonical(to_json(request.subjects.front().plan)));
    for (const Subject& subject : request.subjects) {
      double launches = 0;
      for (const PlanLaunch& launch : subject.plan.run)
        launches += !slow_label.empty() && launch.label.find(slow_label) != std::string::npos ? 10 : 1;
      const double base = 2e6 * launches + 1e6 * unit_from(json::canonical(to_json(subject.plan)));
      SampleFact::Subject out{subject.name, Verdict::ok, {}, {}, {}, {}, {}};
      // Joules are another function of the plan than times.
      const double nj = 1e6 * (1 + unit_from("energy" + json::canonical(to_json(subject.plan))));
      objectives.insert(request.objective);
      instances.insert(request.instances);
      for (int i = 0; i < request.samples; ++i)
        out.ns.push_back(base * (1 + 0.01 * unit_from(std::to_string(calls) + "/" + std::to_string(i))));
      if (request.objective == Objective::energy)
        for (const double ns : out.ns) out.nj.push_back(nj * ns / base);
      fact.subjects.push_back(out);
    }
    fact.cycles_per_ns.assign(static_cast<std::size_t>(request.samples), 2.0);
    return fact;
  }
  double joules() override { return joules_each; }

 protected:
  [[nodiscard]] const std::string& template_of(const std::string& object) const { return template_of_.at(object); }

 private:
  std::map<std::string, std::string> template_of_;
};

struct Entry { bool decision; std::string kind, request, content; };

class MemoryJournal : public Journal {
 public:
  std::vector<Entry> entries;
  std::size_t fail_at = std::size_t(-1);  // "the process dies" once this many entries are on record
  bool replay = false;

  json::value fact(std::string_view kind, const json::value& request,
                   const std::function<json::value()>& take) override {
    const std::string digest = json::canonical(request);
    if (position_ < entries.size()) {
      const Entry& e = entries[position_++];
      if (e.decision || e.kind != kind || e.request != digest)
        throw Error(ErrorCode::diverged, "another fact: " + std::string(kind));
      return json::parse(e.content, "entry", {.bytes = 64u << 20, .depth = 32});
    }
    if (replay) throw Error(ErrorCode::diverged, "past the end");
    const std::string content = json::canonical(take());
    add({false, std::string(kind), digest, content});
    return json::parse(content, "entry", {.bytes = 64u << 20, .depth = 32});
  }
  void decision(std::string_view kind, const json::value& artifact) override {
    const std::string content = json::canonical(artifact);
    if (position_ < entries.size()) {
      const Entry& e = entries[position_++];
      if (!e.decision || e.kind != kind || e.content != content)
        throw Error(ErrorCode::diverged, "another decision: " + std::string(kind));
      return;
    }
    if (replay) throw Error(ErrorCode::diverged, "past the end");
    add({true, std::string(kind), {}, content});
  }
  void progress(const Progress& p) override { last_fraction = p.fraction; }
  [[nodiscard]] bool cancelled() const override { return false; }
  void rewind() { position_ = 0; }
  double last_fraction = 0;

 private:
  void add(Entry e) {
    if (entries.size() == fail_at) throw Error(ErrorCode::internal, "killed");
    entries.push_back(std::move(e));
    ++position_;
  }
  std::size_t position_ = 0;
};

class MemoryBlobs : public BlobStore {
 public:
  std::string put(std::string_view bytes) override {
    const std::string digest = sha256_hex(bytes);
    blobs_[digest] = bytes;
    ++brought;
    return digest;
  }
  [[nodiscard]] bool keep(const std::string& digest, std::int64_t bytes) override {
    const auto found = blobs_.find(digest);
    return found != blobs_.end() && static_cast<std::int64_t>(found->second.size()) == bytes;
  }
  [[nodiscard]] std::string get(const std::string& digest) const override { return blobs_.at(digest); }

  int brought = 0;  // how often put() was called

 private:
  std::map<std::string, std::string> blobs_;
};

}  // namespace kiln::agents
