#include "tests/bench/mutations/trial.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "agents/conductor/check_effort.h"
#include "agents/graph/serialize.h"
#include "daemon/worker/inputs.h"
#include "runtime/base/json.h"
#include "runtime/kiln.h"

namespace kiln::mutation {
namespace {

constexpr int kWiderSeeds = 6;
// As in a job, the rounds that confirm a candidate draw the same values for all candidates of a region.
constexpr std::uint64_t confirming_seed(std::int32_t round) { return 500'000 + static_cast<std::uint64_t>(round); }
constexpr rlim_t kChildSeconds = 20;

// What a child that compares bits ends with.
enum Bits { same = 0, differs = 10, differs_on_special = 11, refused = 12 };

struct Library {
  kiln_release* release = nullptr;
  kiln_session* session = nullptr;
  explicit Library(const std::string& directory) {
    if (kiln_open(directory.c_str(), nullptr, &release) != KILN_OK || kiln_session_create(release, &session) != KILN_OK)
      ::_exit(refused);
  }
  void run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs) {
    if (kiln_run(session, inputs.data(), outputs.data()) != KILN_OK) ::_exit(refused);
  }
};

std::vector<graph::Tensor> inputs_of(const graph::Graph& g, const std::string& family, std::uint64_t seed) {
  std::vector<graph::Tensor> out;
  const std::vector<std::optional<graph::Domain>> domains = graph::input_domains(g);
  const bool special = family == "special";
  for (std::size_t i = 0; i < g.inputs.size(); ++i) {
    out.push_back(worker::make_input(g.type(g.inputs[i]), domains[i], special ? "normal" : family, seed, i));
    const graph::DType type = out.back().type.dtype;
    if (!special || !graph::is_float(type)) continue;
    static constexpr double kEnds[] = {INFINITY, -INFINITY, NAN, 3e38, -3e38, 1e30, -0.0, 1e-44, 89.0, -104.0};
    for (std::int64_t e = static_cast<std::int64_t>(seed % 7); e < out.back().count(); e += 13)
      graph::store_double(type, out.back().bytes.data(), e,
                          kEnds[static_cast<std::size_t>(e / 13 + static_cast<std::int64_t>(seed)) % std::size(kEnds)]);
  }
  return out;
}

// Runs both over the same inputs; never returns.
[[noreturn]] void compare_bits(const graph::Graph& g, const std::string& left, const std::string& right,
                               std::uint64_t seed) {
  const rlimit cpu{kChildSeconds, kChildSeconds}, no_core{0, 0};
  (void)::setrlimit(RLIMIT_CPU, &cpu);
  (void)::setrlimit(RLIMIT_CORE, &no_core);
  Library a(left), b(right);
  std::vector<std::string> families = agents::check_families(0, 0);
  families.emplace_back("special");
  for (const std::string& family : families)
    for (int s = 0; s < kWiderSeeds; ++s) {
      const std::vector<graph::Tensor> inputs = inputs_of(g, family, seed + static_cast<std::uint64_t>(s));
      std::vector<const void*> in;
      std::vector<std::vector<std::byte>> out_a, out_b;
      std::vector<void*> to_a, to_b;
      for (const graph::Tensor& t : inputs) in.push_back(t.bytes.data());
      for (const graph::ValueId id : g.outputs) {
        const std::size_t bytes = graph::Tensor::zeros(g.type(id)).bytes.size();
        out_a.emplace_back(bytes, std::byte{0xff});
        out_b.emplace_back(bytes, std::byte{0x5a});
      }
      for (std::size_t o = 0; o < out_a.size(); ++o) {
        to_a.push_back(out_a[o].data());
        to_b.push_back(out_b[o].data());
      }
      a.run(in, to_a);
      b.run(in, to_b);
      if (out_a != out_b) ::_exit(family == "special" ? differs_on_special : differs);
    }
  ::_exit(same);
}

}  // namespace

Laboratory::Laboratory(const std::filesystem::path& worker, std::uint64_t seed, std::int32_t threads)
    : seed_(seed), threads_(threads), objects_(std::make_unique<testing::ObjectFolder>()) {
  kiln::worker::BenchOptions options = testing::bench_options(*objects_);
  options.worker = worker;
  bench_ = kiln::worker::make_workbench(options, *objects_);
  staging_ = std::make_unique<kiln::worker::Staging>(objects_->root() / "compare", *objects_);
}

Laboratory::~Laboratory() = default;

void Laboratory::take(const Prepared& prepared) {
  const graph::ConstantLayout layout = graph::layout_constants(prepared.standalone);
  graph_ = objects_->put(json::canonical(graph::to_json(prepared.standalone)));
  constants_ = layout.total_bytes > 0 ? objects_->put(graph::constant_blob(prepared.standalone, layout)) : "";
}

agents::Plan Laboratory::plan_of(const Prepared& prepared, const Member& member) const {
  return agents::assemble(prepared.standalone, prepared.partition, {{member.kernel, member.object}}, constants_,
                          threads_);
}

agents::Judgement Laboratory::judgement(const Prepared& prepared, const Member& member, std::uint64_t seed) {
  agents::Judgement first = check(prepared, member, seed);
  return first.verdict == agents::Verdict::ok ? confirm(prepared, member) : first;
}

agents::Judgement Laboratory::confirm(const Prepared& prepared, const Member& member) {
  agents::Judgement judged;
  const std::int32_t rounds = agents::confirming_rounds(0, 0);
  for (std::int32_t r = 0; r < rounds && judged.verdict == agents::Verdict::ok; ++r)
    judged = check(prepared, member, confirming_seed(r));
  return judged;
}

agents::Judgement Laboratory::check(const Prepared& prepared, const Member& member, std::uint64_t seed,
                                    std::int64_t deadline_ns) {
  agents::CheckRequest request;
  request.graph = graph_;
  request.constants = constants_;
  request.subject = {"mutant", plan_of(prepared, member)};
  request.families = agents::check_families(0, 0);
  request.seed = seed;
  request.timeout_ns = deadline_ns;
  return agents::judge(bench_->check(request), policy_);
}

Wider Laboratory::look_wider(const Prepared& prepared, const Member& original, const Member& member) {
  const std::string left = staging_->stage({"original", plan_of(prepared, original)}).string();
  const std::string right = staging_->stage({"mutant", plan_of(prepared, member)}).string();
  const pid_t child = ::fork();
  if (child == 0) compare_bits(prepared.standalone, left, right, seed_ + 1000);
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child)
    throw Error(ErrorCode::io, "cannot compare a mutant with its original");
  if (!WIFEXITED(status) || WEXITSTATUS(status) == refused) return Wider::wrong;
  if (WEXITSTATUS(status) == same) return Wider::equal;
  if (WEXITSTATUS(status) == differs_on_special) return Wider::special_only;
  for (std::uint64_t s = 0; s < kWiderSeeds; ++s) {
    if (check(prepared, member, seed_ + 2000 + s).verdict == agents::Verdict::ok) continue;
    // Where the original is refused too, the values are at fault: they say nothing about the mutant.
    if (check(prepared, original, seed_ + 2000 + s).verdict == agents::Verdict::ok) return Wider::wrong;
  }
  return Wider::within_class;
}

}  // namespace kiln::mutation
