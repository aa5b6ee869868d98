#include "tests/bench/mutations/campaign.h"

#include <algorithm>
#include <chrono>

#include "daemon/targets/cpu/detect.h"
#include "runtime/base/digest.h"
#include "tests/bench/mutations/assembly.h"
#include "tests/bench/mutations/operators.h"

namespace kiln::mutation {
namespace {

constexpr std::size_t kBatch = 24;  // kernels in one translation unit
constexpr std::int32_t kThreads = 2;
constexpr std::uint64_t kSeeds = 16;  // of first checks; the oracle keeps what each of them gives

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Adds what its scope takes.
class Spent {
 public:
  explicit Spent(double& total) : total_(total), begin_(seconds_now()) {}
  ~Spent() { total_ += seconds_now() - begin_; }
  Spent(const Spent&) = delete;
  Spent& operator=(const Spent&) = delete;

 private:
  double& total_;
  const double begin_;
};

agents::NodeFacts this_node() {
  const targets::cpu::CpuDescription cpu = targets::cpu::detect();
  agents::NodeFacts node;
  node.features = cpu.features;
  node.cores = kThreads;
  node.l1d_bytes = cpu.l1d_bytes;
  node.l2_bytes = cpu.l2_bytes;
  node.l3_bytes = cpu.l3_bytes;
  return node;
}

std::vector<store::TemplateSpec> all_templates() {
  std::vector<store::TemplateSpec> out;
  const std::filesystem::path templates = std::filesystem::path(KILN_SOURCE_DIR) / "store/corpus/templates";
  for (const auto& family : std::filesystem::directory_iterator(templates))
    for (const auto& entry : std::filesystem::directory_iterator(family)) {
      if (!std::filesystem::exists(entry.path() / "template.toml")) continue;
      const std::string folder = family.path().filename(), name = entry.path().filename();
      out.push_back(store::parse_template(folder, name, store::template_files(templates, folder, name)));
    }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return std::tie(a.family, a.name) < std::tie(b.family, b.name);
  });
  return out;
}

// `count` of the mutations, each operator as often as its places allow, in an order that the seed decides.
std::vector<Mutation> sample(std::vector<Mutation> all, std::size_t count, std::mt19937_64& random) {
  std::shuffle(all.begin(), all.end(), random);
  std::map<std::string, std::vector<Mutation>> by_name;
  for (Mutation& m : all) by_name[m.name].push_back(std::move(m));
  std::vector<std::vector<Mutation>> operators;
  for (auto& [unused, mutations] : by_name) operators.push_back(std::move(mutations));
  std::shuffle(operators.begin(), operators.end(), random);
  std::vector<Mutation> out;
  while (out.size() < count && !operators.empty()) {
    for (std::size_t i = 0; i < operators.size() && out.size() < count; ++i) {
      out.push_back(std::move(operators[i].back()));
      operators[i].pop_back();
    }
    std::erase_if(operators, [](const auto& mutations) { return mutations.empty(); });
  }
  return out;
}

std::string subject_of(const Prepared& p, std::size_t choice) {
  const store::TemplateSpec& spec = *p.choices[choice].spec;
  return spec.family + "/" + spec.name + ", " + p.workload.name;
}

std::string key_of(const Prepared& p, const char* what, const std::string& source) {
  return sha256_hex(p.workload.name + "\n" + what + "\n" + source);
}

// The same for one kernel whenever its campaign is taken up again.
std::uint64_t first_seed(std::uint64_t seed, const std::string& key) {
  return seed + std::stoull(key.substr(0, 8), nullptr, 16) % kSeeds;
}

}  // namespace

struct Campaign::Chosen {
  Mutation mutation;
  Member member;
  agents::RenderedKernel kernel;  // as it was before it was built
  Trial trial;
};

Campaign::Campaign(const CampaignOptions& options, Records& records,
                   std::function<void(const Campaign&)> progress)
    : options_(options),
      records_(records),
      progress_(std::move(progress)),
      node_(this_node()),
      corpus_(all_templates()),
      random_(options.seed),
      begin_s_(seconds_now()) {}

std::size_t Campaign::wrong() const {
  return static_cast<std::size_t>(std::count_if(records_.all().begin(), records_.all().end(),
                                                [](const Trial& t) { return is_wrong(t.outcome); }));
}

std::size_t Campaign::right_in(const std::string& family) const {
  return static_cast<std::size_t>(
      std::count_if(records_.all().begin(), records_.all().end(),
                    [&](const Trial& t) { return t.family == family && is_of_right_variant(t.outcome); }));
}

bool Campaign::out_of_time() const {
  return options_.minutes > 0 && seconds_now() - begin_s_ > options_.minutes * 60;
}

void Campaign::record(Trial trial) {
  records_.add(std::move(trial));
  progress_(*this);
}

void Campaign::run() {
  const auto done = [&] {
    const std::vector<Workload> all = workloads(0);
    return wrong() >= options_.wrong && std::all_of(all.begin(), all.end(), [&](const Workload& w) {
             return (!options_.family.empty() && w.family != options_.family) ||
                    right_in(w.family) >= options_.right;
           });
  };
  for (round_ = options_.first_round; !done() && !out_of_time(); ++round_) {
    random_.seed(options_.seed + round_);
    laboratory_ = std::make_unique<Laboratory>(options_.worker, options_.seed, kThreads);
    run_round();
  }
}

void Campaign::run_round() {
  for (const Workload& workload : workloads(round_)) {
    if (!options_.family.empty() && workload.family != options_.family) continue;
    const std::optional<Prepared> p = prepare(workload, corpus_, node_, kThreads);
    if (!p) continue;
    laboratory_->take(*p);
    for (std::size_t c = 0; c < p->choices.size(); ++c) {
      const agents::Space& space = p->choices[c].space;
      const auto row = round_ == 0 ? static_cast<std::size_t>(std::max(0, space.default_row))
                                   : static_cast<std::size_t>(random_() % space.rows.size());
      if (wrong() < options_.wrong && !out_of_time()) mutate(*p, c, row);
    }
    if (!out_of_time()) vary(*p);
  }
}

void Campaign::mutate(const Prepared& p, std::size_t choice, std::size_t row) {
  at_ = subject_of(p, choice);
  const agents::RenderedKernel kernel = rendered(p, choice, row, node_);
  std::vector<Mutation> possible;
  {
    const Spent spent(costs_.rendering);
    possible = with_code(kernel.source, mutations_of(kernel.source), lines_with_code(kernel));
    std::erase_if(possible, [&](const Mutation& m) {
      return difference(kernel.source, m).find(options_.matching) == std::string::npos;
    });
  }
  // In a campaign of few, some of every subject.
  const std::size_t most = std::clamp<std::size_t>(options_.wrong / 16, 2, kBatch - 1);
  std::vector<Chosen> batch;
  for (Mutation& m : sample(std::move(possible), most, random_)) {
    agents::RenderedKernel mutant = kernel;
    mutant.source = mutated(kernel.source, m);
    const std::string key = key_of(p, "mutant", mutant.source);
    if (records_.contains(key)) continue;
    Trial trial{key, p.workload.family, at_, m.name, difference(kernel.source, m), Outcome::not_built, {},
                {}};
    batch.push_back({std::move(m), {mutant, true, {}, {}}, mutant, std::move(trial)});
  }
  if (batch.empty()) return;
  Member original{kernel, true, {}, {}};
  std::vector<Member*> pointers{&original};
  for (Chosen& chosen : batch) pointers.push_back(&chosen.member);
  {
    const Spent spent(costs_.building);
    build_batch(laboratory_->bench(), pointers);
  }
  if (!judge_right(p, at_, key_of(p, "right", kernel.source), original)) return;
  settle(p, kernel, original, batch);
}

void Campaign::settle(const Prepared& p, const agents::RenderedKernel& kernel, const Member& original,
                      std::vector<Chosen>& batch) {
  std::vector<Chosen*> equal;
  for (Chosen& chosen : batch) {
    chosen.trial.outcome = outcome_of(p, original, chosen);
    if (chosen.trial.outcome == Outcome::equal)
      equal.push_back(&chosen);
    else
      record(chosen.trial);
  }
  if (equal.empty()) return;
  const Spent spent(costs_.proving);
  std::vector<agents::RenderedKernel> kernels;
  for (const Chosen* chosen : equal) kernels.push_back(chosen->kernel);
  const std::vector<bool> same = have_code_of(kernel, kernels);
  for (std::size_t i = 0; i < equal.size(); ++i) {
    if (same[i]) equal[i]->trial.outcome = Outcome::same_code;
    record(equal[i]->trial);
  }
}

Outcome Campaign::outcome_of(const Prepared& p, const Member& original, Chosen& chosen) {
  const Member& member = chosen.member;
  if (!member.builds) {
    chosen.trial.reason = member.refusal;
    return Outcome::not_built;
  }
  agents::Judgement judgement;
  {
    const Spent spent(costs_.checking);
    const std::uint64_t seed = first_seed(options_.seed, chosen.trial.key);
    judgement = laboratory_->check(p, member, seed, kMutantsDeadlineNs);
    // On a machine that keeps the original from ending too it says nothing of the mutant.
    if (judgement.verdict == agents::Verdict::hung &&
        laboratory_->check(p, original, seed, kMutantsDeadlineNs).verdict == agents::Verdict::hung)
      judgement = laboratory_->check(p, member, seed, kDeadlineNs);
  }
  Wider wider = Wider::equal;
  if (judgement.verdict == agents::Verdict::ok) {
    const Spent spent(costs_.comparing);
    wider = laboratory_->look_wider(p, original, member);
    // What gives the original's bits everywhere passes the rounds that confirm a finalist as the original
    // does.
    if (wider != Wider::equal) judgement = laboratory_->confirm(p, member);
  }
  chosen.trial.verdict = agents::name(judgement.verdict);
  chosen.trial.reason = judgement.reason;
  if (judgement.verdict != agents::Verdict::ok) return Outcome::caught;
  switch (wider) {
    case Wider::equal:
      return Outcome::equal;
    case Wider::within_class:
      return Outcome::within_class;
    case Wider::special_only:
      return Outcome::special_only;
    case Wider::wrong:
      break;
  }
  return Outcome::survived;
}

// Points of the spaces, spread evenly over what the family still lacks; all of them compute what the workload
// says.
void Campaign::vary(const Prepared& p) {
  const std::size_t tried = right_in(p.workload.family);
  if (tried >= options_.right) return;
  const std::size_t lacking = options_.right - tried;
  struct Candidate {
    std::string subject, key;
    Member member;
  };
  std::map<std::vector<std::string>, std::vector<Candidate>> by_flags;
  const std::size_t share = (std::min(lacking, 2 * kBatch) + p.choices.size() - 1) / p.choices.size();
  for (std::size_t c = 0; c < p.choices.size(); ++c) {
    const std::size_t rows = p.choices[c].space.rows.size(), points = std::min(rows, share);
    const std::size_t offset = round_ == 0 ? 0 : random_() % rows;
    for (std::size_t i = 0; i < points; ++i) {
      agents::RenderedKernel kernel = rendered(p, c, (offset + i * rows / points) % rows, node_);
      const std::string key = key_of(p, "right", kernel.source);
      if (records_.contains(key)) continue;
      const std::string subject = p.workload.name + ", " + agents::to_string(kernel.variant);
      const std::vector<std::string> flags = kernel.compile_flags;
      by_flags[flags].push_back({subject, key, {std::move(kernel), true, {}, {}}});
    }
  }
  for (auto& [unused, candidates] : by_flags)
    for (std::size_t begin = 0; begin < candidates.size() && !out_of_time(); begin += kBatch) {
      const std::size_t end = std::min(candidates.size(), begin + kBatch);
      std::vector<Member*> batch;
      for (std::size_t i = begin; i < end; ++i) batch.push_back(&candidates[i].member);
      {
        const Spent spent(costs_.building);
        build_batch(laboratory_->bench(), batch);
      }
      for (std::size_t i = begin; i < end; ++i) {
        at_ = p.workload.name;
        judge_right(p, candidates[i].subject, candidates[i].key, candidates[i].member);
      }
    }
}

bool Campaign::judge_right(const Prepared& p, const std::string& subject, const std::string& key,
                           const Member& member) {
  Trial trial{key, p.workload.family, subject, "right variant", {}, Outcome::right, {}, {}};
  if (!member.builds) {
    trial.outcome = Outcome::refused;
    trial.reason = member.refusal;
    record(std::move(trial));
    return false;
  }
  const Spent spent(costs_.checking);
  const agents::Judgement judgement = laboratory_->judgement(p, member, first_seed(options_.seed, key));
  trial.verdict = agents::name(judgement.verdict);
  trial.reason = judgement.reason;
  if (judgement.verdict != agents::Verdict::ok) trial.outcome = Outcome::refused;
  if (!records_.contains(key)) record(std::move(trial));
  return judgement.verdict == agents::Verdict::ok;
}

}  // namespace kiln::mutation
