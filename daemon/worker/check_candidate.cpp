#include "daemon/worker/check_candidate.h"

#include <algorithm>

#include "daemon/worker/attempts.h"
#include "runtime/base/json.h"

namespace kiln::worker {

using agents::Verdict;

namespace {

// The process that runs candidates calls twice from the same state.
constexpr int kCalls = 2;

// One run of the candidate over fresh memory; nothing, and fact.verdict set, when it did not survive it. `shares`: that
// the runs before were over the GPU's memory; their findings compare with no others.
std::optional<Findings> run_once(BenchWorkers& workers, const std::filesystem::path& directory, const ArenaKey& key,
                                 std::int64_t timeout_ns, std::optional<bool>& shares, agents::CheckFact& fact) {
  OracleClient::Arena arena = workers.oracle().arena(key, kCalls);
  const bool is_shared = !arena.shared.is_null();
  if (shares.value_or(is_shared) != is_shared) throw Stopped{"the GPU had no memory left for an arena"};
  shares = is_shared;
  Frame request;
  request.body = {{"op", "check"}, {"directory", directory.string()}, {"layout", arena.layout}};
  if (is_shared) request.body["shared"] = arena.shared;
  request.fds.push_back(std::move(arena.memory));
  // The parent keeps its own descriptor: sending duplicates it.
  const Answer answer = workers.run_worker().call(request, timeout_ns);
  arena.memory = std::move(request.fds.front());
  if (answer.stopped) throw Stopped{answer.evidence};
  if (const auto why = json::find_string(answer.frame.body, "unshared", "a run reply")) {
    workers.oracle().do_not_share(*why);
    throw Stopped{*why};
  }
  if (const auto failure = run_failure_of(answer)) {
    if (failure->worker_is_tainted) workers.end_run_worker();
    fact.verdict = failure->verdict;
    fact.evidence = failure->evidence;
    return std::nullopt;
  }
  Findings findings = workers.oracle().judge(key, std::move(arena));
  if (const std::string what = overwritten(findings); !what.empty()) {
    fact.verdict = Verdict::out_of_bounds;
    fact.evidence = what;
    return std::nullopt;
  }
  if (findings.unstable) {
    fact.verdict = Verdict::nondeterministic;
    fact.evidence = "a second call over the same inputs gave other bits";
    return std::nullopt;
  }
  return findings;
}

// Of two runs over the same inputs, at other addresses and over another poison: what was not written shows as
// a difference.
void compare_runs(const Findings& first, const Findings& second, agents::CheckFact& fact) {
  if (second.digest == first.digest) return;
  if (second.unwritten.output >= 0 && second.unwritten == first.unwritten) {
    fact.verdict = Verdict::wrong;
    fact.evidence = "element " + std::to_string(second.unwritten.element) + " of output " +
                    std::to_string(second.unwritten.output) + " is not written";
  } else {
    fact.verdict = Verdict::nondeterministic;
    fact.evidence = "a second run over the same inputs gave other bits";
  }
}

std::string describe_undoubled(const OutputElement& at) {
  return "element " + std::to_string(at.element) + " of output " + std::to_string(at.output) +
         " does not double exactly where inputs are doubled, as it does in the operator";
}

// The index of a family for which the candidate gave the bits that it gave for the first, where the oracle did not; 0:
// there is none.
std::size_t insensitive_family(const std::vector<Findings>& judgements) {
  for (std::size_t i = 1; i < judgements.size(); ++i)
    if (judgements[i].digest == judgements[0].digest && judgements[i].expected_digest != judgements[0].expected_digest)
      return i;
  return 0;
}

}  // namespace

agents::CheckFact check_candidate(BenchWorkers& workers, const agents::CheckRequest& request) {
  // Each candidate in a process of its own: nothing that one leaves in memory meets another. A GPU's context
  // takes a large part of a second to make, and its memory is not where a kernel can keep anything between
  // launches.
  if (!workers.gpu()) workers.end_run_worker();
  const std::filesystem::path directory = workers.staging().stage(request.subject);
  workers.oracle().give_graph(request.graph, request.constants);
  agents::CheckFact fact;
  std::optional<bool> shares;
  std::vector<Findings> judgements;
  std::vector<std::string> families = request.families;
  // After "normal": the oracle compares with what the candidate gave there, and has nothing to evaluate.
  const auto normal = std::find(families.begin(), families.end(), "normal");
  if (normal != families.end() && workers.oracle().doubles()) families.insert(normal + 1, "doubled");
  for (std::size_t i = 0; i < families.size(); ++i) {
    const std::string& family = families[i];
    // Alternately against the guard page behind and the one before, over one poison and the other.
    const auto run = [&](std::size_t turn) {
      const ArenaKey key{request.graph, family, request.seed, kPoisons[turn % 2],
                         turn % 2 == 0 ? Edge::end : Edge::begin};
      return run_once(workers, directory, key, request.timeout_ns, shares, fact);
    };
    std::optional<Findings> judgement = run(i);
    if (judgement && i == 0)
      if (const auto second = run(1)) compare_runs(*judgement, *second, fact);
    if (judgement && judgement->undoubled.output >= 0) fact.undoubled = describe_undoubled(judgement->undoubled);
    // Of doubled inputs the errors are those of "normal" once more.
    if (judgement && family != "doubled")
      fact.errors.insert(fact.errors.end(), judgement->errors.begin(), judgement->errors.end());
    if (fact.verdict != Verdict::ok) {
      fact.evidence += " in family '" + family + "'";
      return fact;
    }
    judgements.push_back(std::move(*judgement));
  }
  fact.evidence = "expected outputs by the " + workers.oracle().evaluator();
  if (const std::size_t family = insensitive_family(judgements)) {
    fact.input_sensitive = false;
    fact.evidence += "; family '" + families[family] + "' gave the bits of '" + families[0] + "'";
  }
  return fact;
}

}  // namespace kiln::worker
