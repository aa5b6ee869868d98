#include "agents/conductor/lab.h"

#include <algorithm>

#include "agents/graph/serialize.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

constexpr std::int64_t kEnergyMeasurements = 6;  // of a job: races of a region or two, and whole plans

std::string build_digest(const RenderedKernel& kernel) {
  json::object key{{"source", kernel.source}};
  key["flags"] = json::to_array(kernel.compile_flags);
  key["libraries"] = json::to_array(kernel.libraries);
  if (!kernel.architecture.empty()) key["architecture"] = kernel.architecture;
  return sha256_hex(json::canonical(key));
}

json::object subject_request(const Subject& subject) {
  return {{"name", subject.name}, {"plan", sha256_hex(json::canonical(to_json(subject.plan)))}};
}

json::array subject_requests(const std::vector<Subject>& subjects) {
  json::array out;
  for (const Subject& subject : subjects) out.emplace_back(subject_request(subject));
  return out;
}

// What repeated runs find still there: the last level of cache of whatever runs the plan.
std::int64_t cache_bytes(const NodeFacts& node) { return node.gpu ? node.gpu->l2_bytes : node.l3_bytes; }

}  // namespace

Lab::Lab(const JobInput& input, Workbench& bench, BlobStore& blobs, Journal& journal,
         std::function<json::array(const std::string&)> priors, std::function<std::int64_t()> clock_ns)
    : input_(input),
      bench_(bench),
      blobs_(blobs),
      journal_(journal),
      priors_(std::move(priors)),
      clock_ns_(std::move(clock_ns)),
      weight_bytes_(graph::layout_constants(input.workload).total_bytes) {}

void Lab::probe() {
  const auto found = [&] { return json::value(to_json(bench_.probe(Probing::recent))); };
  node_ = node_facts_from_json(journal_.fact("node", json::object{}, found));
  const policies::Policy& policy = input_.policy;
  if ((policy.objective == "energy" || policy.energy_joules > 0) && node_.energy_counter.empty())
    throw Error(ErrorCode::unsupported,
                "cannot tune by policy '" + policy.name + "': it counts energy, and this node has no energy counter: " +
                    node_.no_energy_counter,
                "use a policy without objective energy and budget.energy_joules; kctl doctor");
  (void)joules();  // counting begins
  if (node_.gpu) return;  // a plan for a GPU has one thread, which launches
  cores_ = policy.threads > 0 ? std::min(policy.threads, node_.cores) : node_.cores;
  threads_ = policy.objective == "throughput" ? 1 : cores_;  // a core serves alone, and they all at once
}

// Not "node": that is a fact of this machine, which others read.
void Lab::describe(const NodeFacts& node) {
  const auto told = [&] { return json::value(to_json(node)); };
  node_ = node_facts_from_json(journal_.fact("described_node", json::object{}, told));
}

double Lab::joules() {
  if (input_.policy.energy_joules <= 0) return 0;
  const json::value fact =
      journal_.fact("energy", json::object{}, [&] { return json::value(json::object{{"joules", bench_.joules()}}); });
  return joules_ += json::get_double(json::as_object(fact, "energy fact"), "joules", "energy fact");
}

bool Lab::raise_ceilings() {
  if (probes_ >= kMostProbes) return false;
  const auto found = [&] { return json::value(to_json(bench_.probe(Probing::anew))); };
  const NodeFacts again = node_facts_from_json(journal_.fact("node", json::object{{"probe", ++probes_}}, found));
  bool rose = false;
  const auto raise = [&](std::map<std::string, double>& known, const std::map<std::string, double>& measured) {
    for (const auto& [name, value] : measured) {
      double& ceiling = known[name];
      rose = rose || value > ceiling;
      ceiling = std::max(ceiling, value);
    }
  };
  raise(node_.bandwidth, again.bandwidth);
  raise(node_.flops, again.flops);
  return rose;
}

std::int64_t Lab::now(std::string_view at) {
  if (journal_.cancelled()) throw Error(ErrorCode::cancelled, "cannot go on with the job: the operator stopped it");
  const json::value fact = journal_.fact("clock", json::object{{"at", at}}, [&] {
    return json::value(json::object{{"ns", clock_ns_()}});
  });
  return json::get_int(json::as_object(fact, "clock fact"), "ns", "clock fact");
}

std::vector<BuildOutcome> Lab::build(const std::vector<RenderedKernel>& kernels) {
  std::vector<std::string> digests;
  std::vector<BuildRequest> requests;
  std::vector<std::string> requested;
  for (const RenderedKernel& kernel : kernels) {
    digests.push_back(build_digest(kernel));
    const bool waiting = std::find(requested.begin(), requested.end(), digests.back()) != requested.end();
    if (waiting || built_.contains(digests.back())) continue;
    requests.push_back({kernel, input_.policy.build_timeout_seconds * 1'000'000'000});
    requested.push_back(digests.back());
  }
  if (!requests.empty()) {
    const json::value fact = journal_.fact("build", json::object{{"sources", json::to_array(requested)}}, [&] {
      json::array facts;
      for (const BuildFact& built : bench_.build(requests)) facts.emplace_back(to_json(built));
      return json::value(facts);
    });
    const json::array& facts = json::as_array(fact, "build fact");
    if (facts.size() != requested.size())
      throw Error(ErrorCode::corrupt, "cannot use the build fact: it has another number of results than requests");
    for (std::size_t i = 0; i < facts.size(); ++i) built_[requested[i]] = build_fact_from_json(facts[i]);
  }
  std::vector<BuildOutcome> outcomes;
  for (std::size_t i = 0; i < kernels.size(); ++i) outcomes.push_back({kernels[i], built_.at(digests[i])});
  return outcomes;
}

ObjectCounts Lab::objects() const {
  ObjectCounts counts;
  for (const auto& [digest, fact] : built_) ++(fact.origin.empty() ? counts.built : counts.from_cache);
  return counts;
}

Lab::StoredGraph Lab::store_graph(const graph::Graph& g) {
  StoredGraph stored;
  stored.graph = blobs_.put(json::canonical(graph::to_json(g)));
  stored.constants = store_constants(g);
  return stored;
}

std::string Lab::store_constants(const graph::Graph& g) {
  const graph::ConstantLayout layout = graph::layout_constants(g);
  if (layout.total_bytes == 0) return "";
  std::string parts;
  for (std::size_t i = 0; i < g.constants.size(); ++i)
    if (g.constants[i]) parts += std::to_string(layout.offsets[i]) + " " + g.constants[i]->digest() + "\n";
  std::string& digest = constants_[parts];
  if (digest.empty()) {
    const std::string of_blob = graph::constants_digest(g, layout);
    digest = blobs_.keep(of_blob, layout.total_bytes) ? of_blob : blobs_.put(graph::constant_blob(g, layout));
  }
  return digest;
}

CheckFact Lab::check(const StoredGraph& stored, const Subject& subject, const std::vector<std::string>& families,
                     std::uint64_t seed, const std::optional<UsualCall>& usual) {
  json::object request{{"graph", stored.graph}, {"subject", subject_request(subject)}, {"seed", seed}};
  request["families"] = json::to_array(families);
  return check_fact_from_json(journal_.fact("check", request, [&] {
    CheckRequest live;
    live.graph = stored.graph;
    live.constants = stored.constants;
    live.subject = subject;
    live.families = families;
    live.seed = seed;
    live.timeout_ns = input_.policy.run_timeout_seconds * 1'000'000'000;
    if (usual && node_.gpu) live.timeout_ns = std::min(live.timeout_ns, device_deadline_ns(*usual));
    return json::value(to_json(bench_.check(live)));
  }));
}

// In a serving loop a workload's weights stay where they fit. One region alone would always find its own in cache, so
// where all of them together do not fit the last level, it is measured as it will be met: with cold caches.
bool Lab::cold(Extent extent) const {
  return input_.policy.cold_cache || (extent == Extent::region && weight_bytes_ > cache_bytes(node_));
}

Objective Lab::objective(Extent extent) const {
  return cold(extent) ? Objective::latency : objective_from_name(input_.policy.objective);
}

bool Lab::counts_slowly() const { return node_.gpu && objective(Extent::region) == Objective::energy; }

MeasureRequest Lab::request_for(const std::vector<Subject>& subjects, Extent extent, std::int32_t samples,
                                std::uint64_t seed) const {
  MeasureRequest live;
  live.subjects = subjects;
  live.samples = samples;
  live.objective = objective(extent);
  live.instances = cores_;
  live.cold = cold(extent);
  live.seed = seed;
  live.timeout_ns = input_.policy.run_timeout_seconds * 1'000'000'000;
  // A GPU's rounds of energy have half a second a subject: a measurement takes no more than its part of the budget.
  if (live.objective == Objective::energy && node_.gpu)
    live.limit_ns = std::min<std::int64_t>(live.limit_ns, input_.policy.seconds * 1'000'000'000 / kEnergyMeasurements);
  return live;
}

json::object Lab::key_of(const std::vector<Subject>& subjects, Extent extent, std::int32_t samples, std::uint64_t seed,
                         Objective of) const {
  json::object key{{"subjects", subject_requests(subjects)},
                   {"samples", samples},
                   {"cold", cold(extent)},
                   {"seed", seed}};
  if (of != Objective::latency) key["objective"] = name(of);
  return key;
}

SampleFact Lab::measure(const std::vector<Subject>& subjects, Extent extent, std::int32_t samples, bool fresh_process,
                        std::uint64_t seed, const std::optional<Proof>& proof) {
  json::object request = key_of(subjects, extent, samples, seed, objective(extent));
  request["fresh_process"] = fresh_process;
  if (proof) request["proof"] = json::object{{"graph", proof->graph}, {"family", proof->family}, {"seed", proof->seed}};
  return sample_fact_from_json(journal_.fact("measure", request, [&] {
    MeasureRequest live = request_for(subjects, extent, samples, seed);
    live.proof = proof;
    live.fresh_process = fresh_process;
    return json::value(to_json(bench_.measure(live)));
  }));
}

SampleFact Lab::look(const std::vector<Subject>& subjects, std::int32_t samples, std::uint64_t seed,
                     const std::optional<UsualCall>& usual) {
  // Only times are read off a look. A sample of energy takes half a second, as long as all calls of one.
  const Objective wanted = objective(Extent::region);
  const Objective of_look = wanted == Objective::energy ? Objective::latency : wanted;
  json::object request = key_of(subjects, Extent::region, samples, seed, of_look);
  request["fresh_process"] = false;
  return sample_fact_from_json(journal_.fact("measure", request, [&] {
    MeasureRequest live = request_for(subjects, Extent::region, samples, seed);
    live.objective = of_look;
    if (samples == 1) live.warmup = 1;  // of what is slow, too, and decides nothing
    if (usual && node_.gpu) {
      live.timeout_ns = std::min(live.timeout_ns, device_deadline_ns(*usual));
      live.limit_ns = 0;
    }
    return json::value(to_json(bench_.measure(live)));
  }));
}

SampleFact Lab::measure_launches(const std::vector<Subject>& subjects, std::int32_t samples, std::uint64_t seed) {
  json::object request = key_of(subjects, Extent::workload, samples, seed, Objective::latency);
  request["per_launch"] = true;
  return sample_fact_from_json(journal_.fact("measure", request, [&] {
    MeasureRequest live = request_for(subjects, Extent::workload, samples, seed);
    live.objective = Objective::latency;
    live.per_launch = true;
    return json::value(to_json(bench_.measure(live)));
  }));
}

std::vector<Trial> Lab::priors(const std::string& region) {
  const json::value fact =
      journal_.fact("priors", json::object{{"region", region}}, [&] { return json::value(priors_(region)); });
  std::vector<Trial> trials;
  for (const json::value& item : json::as_array(fact, "priors")) {
    const json::object& prior = json::as_object(item, "prior");
    trials.push_back({variant_from_json(json::at(prior, "variant", "prior")),
                      verdict_from_name(json::get_string(prior, "verdict", "prior")),
                      json::get_double(prior, "median_ns", "prior")});
  }
  return trials;
}

}  // namespace kiln::agents
