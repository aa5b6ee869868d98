// mutations [--count N] [--right N] [--seed N] [--family NAME] [--worker FILE] [--json FILE] [--quiet]
//
// How much of what is wrong does the check catch, and does it refuse what is right? Kernels as the writer renders them
// for small workloads of every family are mutated, built, and judged as candidates of a job are: input families,
// poison, guards, determinism, and errors against the FP64 oracle. What is accepted gets a wider look (trial.h). Prints
// a table of operators by outcome and every survivor with its difference. Ends with 1 when fewer than 99.9 % of the
// wrong mutants were caught or a right variant was refused.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <random>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "daemon/targets/cpu/detect.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "tests/bench/mutations/operators.h"
#include "tests/bench/mutations/trial.h"

using namespace kiln;
using namespace kiln::mutation;

namespace {

constexpr std::size_t kBatch = 16;
constexpr std::int32_t kThreads = 2;
constexpr std::size_t kSeeds = 16;  // of first checks; the oracle keeps what each of them gives
constexpr double kLeastCaught = 0.999;

struct Options {
  std::size_t count = 200, right = 40;
  std::uint64_t seed = 1;
  std::string family, json, worker = KILN_BINARY_DIR "/bin/kiln-worker";
  bool quiet = false;
};

struct Tally {
  std::size_t mutants = 0, refused = 0, equal = 0, within_class = 0, special_only = 0, caught = 0, survived = 0;
};

struct Survivor {
  std::string subject, name, difference, outcome;
};

struct Outcome {
  std::map<std::string, Tally> by_operator, by_family;
  std::map<std::string, std::size_t> verdicts;
  std::vector<Survivor> accepted;  // that are not equal to their original
  std::size_t right = 0;
  std::vector<Survivor> rejected;  // right variants
};

const char* name_of(Wider wider) {
  switch (wider) {
    case Wider::equal:
      return "equal";
    case Wider::within_class:
      return "within its class";
    case Wider::special_only:
      return "differs on special values only";
    case Wider::wrong:
      return "survived";
  }
  return "";
}

// `count` of the mutations, each operator as often as its places allow, in an order that the seed decides.
std::vector<Mutation> sample(std::vector<Mutation> all, std::size_t count, std::mt19937_64& random) {
  std::map<std::string, std::vector<Mutation>> by_name;
  std::shuffle(all.begin(), all.end(), random);
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

class Campaign {
 public:
  explicit Campaign(const Options& options)
      : options_(options),
        laboratory_(options.worker, options.seed, kThreads),
        node_(this_node()),
        random_(options.seed) {
    const std::filesystem::path templates = std::filesystem::path(KILN_SOURCE_DIR) / "store/corpus/templates";
    for (const auto& family : std::filesystem::directory_iterator(templates))
      for (const auto& entry : std::filesystem::directory_iterator(family)) {
        if (!std::filesystem::exists(entry.path() / "template.toml")) continue;
        const std::string name = entry.path().filename();
        corpus_.push_back(store::parse_template(family.path().filename(), name,
                                                store::template_files(templates, family.path().filename(), name)));
      }
    std::sort(corpus_.begin(), corpus_.end(),
              [](const auto& a, const auto& b) { return std::tie(a.family, a.name) < std::tie(b.family, b.name); });
    for (const Workload& workload : workloads())
      if (options.family.empty() || workload.family == options.family)
        prepared_.push_back(prepare(workload, corpus_, node_, kThreads));
  }

  Outcome run() {
    std::size_t subjects = 0;
    for (const Prepared& p : prepared_) subjects += p.choices.size();
    std::size_t left = subjects;
    for (const Prepared& p : prepared_) {
      laboratory_.take(p);
      for (std::size_t c = 0; c < p.choices.size(); ++c, --left)
        mutate(p, c, (options_.count - std::min(tried_, options_.count) + left - 1) / left);
      vary(p, (options_.right + prepared_.size() - 1) / prepared_.size());
    }
    return std::move(out_);
  }

 private:
  static agents::NodeFacts this_node() {
    const targets::cpu::CpuDescription cpu = targets::cpu::detect();
    agents::NodeFacts node;
    node.features = cpu.features;
    node.cores = kThreads;
    node.l1d_bytes = cpu.l1d_bytes;
    node.l2_bytes = cpu.l2_bytes;
    node.l3_bytes = cpu.l3_bytes;
    return node;
  }

  void progress(const std::string& at) const {
    if (options_.quiet) return;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    std::fprintf(stderr, "\r%6.0f s  %zu mutants, %zu right variants: %-60s", seconds, tried_, out_.right, at.c_str());
  }

  void mutate(const Prepared& p, std::size_t choice, std::size_t count) {
    const std::string subject =
        p.choices[choice].spec->family + "/" + p.choices[choice].spec->name + ", " + p.workload.name;
    const auto row = static_cast<std::size_t>(std::max(0, p.choices[choice].space.default_row));
    const agents::RenderedKernel kernel = rendered(p, choice, row, node_);
    std::vector<Mutation> chosen = sample(mutations_of(kernel.source), count, random_);
    Member original{kernel, true, {}, {}};
    build_batch(laboratory_.bench(), {&original});
    const agents::Judgement sane = laboratory_.judgement(p, original, options_.seed);
    if (sane.verdict != agents::Verdict::ok) {
      out_.rejected.push_back({subject, "the original", "", sane.reason});
      return;
    }
    for (std::size_t begin = 0; begin < chosen.size(); begin += kBatch) {
      const std::size_t end = std::min(chosen.size(), begin + kBatch);
      std::vector<Member> members;
      for (std::size_t i = begin; i < end; ++i) {
        members.push_back({kernel, true, {}, {}});
        members.back().kernel.source = mutated(kernel.source, chosen[i]);
      }
      std::vector<Member*> pointers;
      for (Member& member : members) pointers.push_back(&member);
      build_batch(laboratory_.bench(), pointers);
      for (std::size_t i = begin; i < end; ++i) {
        progress(subject);
        settle(p, subject, kernel.source, original, members[i - begin], chosen[i]);
      }
    }
  }

  void settle(const Prepared& p, const std::string& subject, const std::string& source, const Member& original,
              const Member& member, const Mutation& mutation) {
    Tally& by_operator = out_.by_operator[mutation.name];
    Tally& by_family = out_.by_family[p.workload.family];
    const auto count = [&](std::size_t Tally::*outcome) {
      ++(by_operator.*outcome);
      ++(by_family.*outcome);
    };
    if (!member.builds) return count(&Tally::refused);
    ++tried_;
    count(&Tally::mutants);
    agents::Judgement judgement = laboratory_.check(p, member, options_.seed + tried_ % kSeeds);
    // What gives the original's bits everywhere passes the rounds that confirm a finalist as the original does.
    Wider wider = Wider::equal;
    if (judgement.verdict == agents::Verdict::ok) {
      wider = laboratory_.look_wider(p, original, member);
      if (wider != Wider::equal) judgement = laboratory_.confirm(p, member);
    }
    if (judgement.verdict != agents::Verdict::ok) {
      ++out_.verdicts[std::string(agents::name(judgement.verdict))];
      return count(&Tally::caught);
    }
    static constexpr std::size_t Tally::*kOutcomes[] = {&Tally::equal, &Tally::within_class, &Tally::special_only,
                                                        &Tally::survived};
    count(kOutcomes[static_cast<std::size_t>(wider)]);
    if (wider != Wider::equal)
      out_.accepted.push_back({subject, mutation.name, difference(source, mutation), name_of(wider)});
  }

  // Points of the spaces, spread evenly; all of them compute what the workload says.
  void vary(const Prepared& p, std::size_t count) {
    std::map<std::vector<std::string>, std::vector<Member>> by_flags;
    const std::size_t share = (count + p.choices.size() - 1) / p.choices.size();
    for (std::size_t c = 0; c < p.choices.size(); ++c) {
      const std::size_t rows = p.choices[c].space.rows.size(), points = std::min(rows, share);
      for (std::size_t i = 0; i < points; ++i) {
        agents::RenderedKernel kernel = rendered(p, c, i * rows / points, node_);
        by_flags[kernel.compile_flags].push_back({std::move(kernel), true, {}, {}});
      }
    }
    for (auto& [unused, members] : by_flags)
      for (std::size_t begin = 0; begin < members.size(); begin += kBatch) {
        std::vector<Member*> batch;
        for (std::size_t i = begin; i < std::min(members.size(), begin + kBatch); ++i) batch.push_back(&members[i]);
        build_batch(laboratory_.bench(), batch);
        for (const Member* member : batch) {
          progress(p.workload.name);
          ++out_.right;
          const std::string subject = p.workload.name + ", " + agents::to_string(member->kernel.variant);
          if (!member->builds) {
            out_.rejected.push_back({subject, "right variant", "", member->refusal});
            continue;
          }
          const agents::Judgement judgement = laboratory_.judgement(p, *member, options_.seed + out_.right % kSeeds);
          if (judgement.verdict != agents::Verdict::ok)
            out_.rejected.push_back({subject, "right variant", "", judgement.reason});
        }
      }
  }

  const Options& options_;
  Laboratory laboratory_;
  const agents::NodeFacts node_;
  std::mt19937_64 random_;
  std::vector<store::TemplateSpec> corpus_;
  std::vector<Prepared> prepared_;
  std::size_t tried_ = 0;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  Outcome out_;
};

Tally total(const std::map<std::string, Tally>& tallies) {
  Tally sum;
  for (const auto& [unused, t] : tallies)
    for (const auto member : {&Tally::mutants, &Tally::refused, &Tally::equal, &Tally::within_class,
                              &Tally::special_only, &Tally::caught, &Tally::survived})
      sum.*member += t.*member;
  return sum;
}

double share(const Tally& t) {
  const std::size_t wrong = t.caught + t.survived;
  return wrong == 0 ? 1 : static_cast<double>(t.caught) / static_cast<double>(wrong);
}

void print_rows(const char* title, const std::map<std::string, Tally>& tallies) {
  fmt::print("{:<22}{:>9}{:>8}{:>8}{:>9}{:>9}{:>9}{:>10}\n", title, "mutants", "equal", "class", "special", "caught",
             "survived", "caught %");
  const auto row = [](const std::string& name, const Tally& t) {
    fmt::print("{:<22}{:>9}{:>8}{:>8}{:>9}{:>9}{:>9}{:>10.2f}\n", name, t.mutants, t.equal, t.within_class,
               t.special_only, t.caught, t.survived, 100 * share(t));
  };
  for (const auto& [name, tally] : tallies) row(name, tally);
  row("all", total(tallies));
}

void print(const Outcome& o) {
  fmt::print(
      "equal: the same bits on every input of the wider look; class: other bits, within the precision class on every "
      "input;\n"
      "special: other bits only for inputs that are infinite, not numbers or near the ends of the type; % of caught "
      "and survived\n\n");
  print_rows("operator", o.by_operator);
  fmt::print("\n");
  print_rows("family", o.by_family);
  fmt::print("\ncaught as:");
  for (const auto& [verdict, count] : o.verdicts) fmt::print(" {} {}", verdict, count);
  fmt::print("\nright variants: {}, refused: {}\n", o.right, o.rejected.size());
  for (const Survivor& s : o.rejected) fmt::print("  refused: {}: {}\n", s.subject, s.outcome);
  for (const Survivor& s : o.accepted) fmt::print("\n{}: {}, {}\n  {}\n", s.outcome, s.name, s.subject, s.difference);
}

json::object to_json(const Outcome& o, const Options& options) {
  const auto rows = [](const std::map<std::string, Tally>& tallies) {
    json::object out;
    for (const auto& [name, t] : tallies)
      out[name] = json::object{{"mutants", t.mutants},           {"not_built", t.refused},         {"equal", t.equal},
                               {"within_class", t.within_class}, {"special_only", t.special_only}, {"caught", t.caught},
                               {"survived", t.survived}};
    return out;
  };
  const auto list = [](const std::vector<Survivor>& all) {
    json::array out;
    for (const Survivor& s : all)
      out.push_back(json::object{
          {"subject", s.subject}, {"operator", s.name}, {"difference", s.difference}, {"outcome", s.outcome}});
    return out;
  };
  return {{"seed", options.seed},
          {"operators", rows(o.by_operator)},
          {"families", rows(o.by_family)},
          {"accepted", list(o.accepted)},
          {"right_variants", o.right},
          {"refused_right_variants", list(o.rejected)},
          {"caught_share", share(total(o.by_family))}};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("How many wrong kernels the check catches, and whether it refuses right ones");
  app.add_option("--count", options.count, "mutants that compile");
  app.add_option("--right", options.right, "right variants");
  app.add_option("--seed", options.seed, "of the choice of mutants and of all inputs");
  app.add_option("--family", options.family, "only this family of workloads");
  app.add_option("--worker", options.worker, "the kiln-worker that checks");
  app.add_option("--json", options.json, "file for the result");
  app.add_flag("--quiet", options.quiet, "no progress");
  CLI11_PARSE(app, argc, argv);
  const Outcome outcome = Campaign(options).run();
  if (!options.quiet) std::fprintf(stderr, "\n");
  print(outcome);
  if (!options.json.empty()) write_file_atomic(options.json, json::pretty(to_json(outcome, options)));
  return share(total(outcome.by_family)) >= kLeastCaught && outcome.rejected.empty() ? 0 : 1;
}
