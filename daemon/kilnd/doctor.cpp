#include "daemon/kilnd/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "daemon/kilnd/bench.h"
#include "daemon/kilnd/golden.h"
#include "daemon/kilnd/machine.h"
#include "daemon/kilnd/state_checks.h"
#include "daemon/worker/energy_source.h"
#include "daemon/worker/workbench.h"
#include "runtime/base/json.h"

namespace kiln::kilnd {
namespace fs = std::filesystem;
namespace {

// The smallest kernel that is one: a compiler that builds it can build what the writer renders.
Check toolchain(const JobEnvironment& env) {
  JobEnvironment afresh = env;
  afresh.objects = nullptr;  // that a kernel was built once does not show that one can be built today
  const std::unique_ptr<agents::Workbench> bench = make_bench(afresh, "doctor", "cpu", env.default_policy);
  agents::BuildRequest request;
  request.kernel.file_name = "doctor.cpp";
  request.kernel.source =
      "#include \"runtime/kernel_abi.h\"\nextern \"C\" void kiln_doctor(void* const*, const kiln_task*) {}\n";
  const agents::BuildFact fact = bench->build(std::vector<agents::BuildRequest>{request}).front();
  if (fact.verdict == agents::Verdict::ok)
    return passed("toolchain", fmt::format("c++ built a kernel of {} bytes in {} ms", fact.object_bytes,
                                           fact.build_ns / 1'000'000));
  const std::string why =
      fact.diagnostics.empty() ? std::string(agents::name(fact.verdict)) : fact.diagnostics.front().message;
  return failed("toolchain", why, "apt install g++");
}

Check sandbox(const JobEnvironment& env) {
  worker::BenchOptions options;
  options.worker = env.worker;
  options.staging = env.store.directory() / "staging";
  const std::vector<std::string> active = worker::sandbox_mechanisms(options);
  std::string list;
  for (const std::string& item : active) list += (list.empty() ? "" : ", ") + item;
  const std::pair<const char*, std::string> wanted[] = {
      {"landlock", "boot with landlock in lsm=, on Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK"},
      {"seccomp", "use a kernel with CONFIG_SECCOMP_FILTER"},
      {"network_namespace", namespace_cure("/")}};
  for (const auto& [name, cure] : wanted) {
    const std::string_view prefix = name;
    if (std::none_of(active.begin(), active.end(),
                     [&](const std::string& item) { return item.starts_with(prefix); }))
      return caution("sandbox", fmt::format("workers run without {}; active: {}", prefix, list), cure);
  }
  return passed("sandbox", list);
}

Check store_check(const JobEnvironment& env) {
  const std::int64_t entries = env.store.verify_ledger();  // with SQLite's integrity_check
  if (env.store.read_only())
    return failed("store", "the store is read-only", "free space on its file system, and restart kilnd");
  return passed("store",
                fmt::format("the database is whole, and so are the {} entries of the ledger", entries));
}

// The same loop, many times: on a machine with a steady clock and no neighbours it takes the same time.
Check clock() {
  std::vector<double> times;
  for (int i = 0; i < 101; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    std::uint64_t x = 1;
    for (int k = 0; k < 200'000; ++k) {
      x += 1;
      asm volatile("" : "+r"(x));
    }
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(times.begin(), times.end());
  const double spread = (times[75] - times[25]) / times[50];
  const std::string text =
      fmt::format("the middle half of 101 equal loops differs by {:.2f} %", 100 * spread);
  if (spread > 0.05) return caution("clock", text, "stop other load; see governor and smt");
  return passed("clock", text);
}

Check corpus(const JobEnvironment& env) {
  const std::shared_ptr<const store::Corpus> corpus = env.corpus.now();
  const std::string text = fmt::format("{} templates, {} of the site, {} golden cases, digest {}",
                                       corpus->templates.size(), store::NodeCorpus::stored(*corpus).size(),
                                       corpus->golden.size(), corpus->digest.substr(0, 12));
  if (corpus->templates.empty()) return failed("corpus", text, "set paths.corpus");
  for (const store::NodeCorpus::Unused& unused : env.corpus.unused())
    return caution("corpus", text + "; " + unused.title + " of the site is not used: " + unused.cause,
                   "kctl corpus remove " + unused.title + ", and add it again under another name");
  return passed("corpus", text);
}

Check golden(const JobEnvironment& env) {
  const std::vector<agents::GoldenResult> results = run_short_golden(env);
  std::size_t kernels = 0;
  for (const agents::GoldenResult& result : results) {
    kernels += result.kernels.size();
    if (result.passed()) continue;
    std::string why = result.oracle_agrees ? "no template computes it" : "the oracle differs from the golden values";
    for (const agents::GoldenResult::Kernel& kernel : result.kernels)
      if (kernel.judgement.verdict != agents::Verdict::ok)
        why = agents::to_string(kernel.variant) + ": " + kernel.judgement.reason;
    return failed("golden", result.family + "/" + result.name + ": " + why, "kctl golden run shows all cases");
  }
  const std::string text = fmt::format("{} cases run: {} kernels agree with the oracle, and it with the golden values",
                                       results.size(), kernels);
  return results.empty() ? failed("golden", "the corpus has no golden case that could be run", "set paths.corpus")
                         : passed("golden", text);
}

Check objects(const JobEnvironment& env) {
  if (env.objects == nullptr) return passed("objects", "no code object outlives its job");
  const store::ObjectCache::Size size = env.objects->size();
  return passed("objects", fmt::format("{} code objects for later jobs in {} of at most {} MiB", size.objects,
                                       size.bytes >> 20, size.limit_bytes >> 20));
}

// What policies with objective energy or a budget of it need, and all others do not.
Check energy() {
  const worker::RaplSource counters(worker::BenchOptions{}.powercap);
  if (!counters.describe().empty()) return passed("energy", counters.describe());
  return passed("energy", "this node has no energy counter for its CPU: " + counters.cause() +
                              "; policies that count energy are refused there");
}

// A check that cannot be made is one that failed.
template <class F>
Check guarded(const std::string& name, F check) {
  try {
    return check();
  } catch (const Error& error) {
    return failed(name, error.what(), error.remedy());
  }
}

}  // namespace

json::object to_json(const Check& check) {
  constexpr std::string_view names[] = {"PASS", "CAUTION", "FAIL"};
  return {{"check", check.name},
          {"result", names[static_cast<std::size_t>(check.result)]},
          {"detail", check.detail},
          {"cure", check.cure}};
}

json::array examine(const JobEnvironment& env) {
  const fs::path state = env.store.directory();
  std::vector<Check> all;
  all.push_back(guarded("toolchain", [&] { return toolchain(env); }));
  all.push_back(guarded("sandbox", [&] { return sandbox(env); }));
  all.push_back(guarded("store", [&] { return store_check(env); }));
  all.push_back(guarded("releases", [&] { return check_releases(env.store); }));
  all.push_back(guarded("state", [&] { return check_state(state); }));
  all.push_back(guarded("key", [&] { return check_key(state / "keys"); }));
  all.push_back(guarded("disk", [&] { return check_disk(state); }));
  all.push_back(guarded("objects", [&] { return objects(env); }));
  all.push_back(guarded("corpus", [&] { return corpus(env); }));
  all.push_back(guarded("golden", [&] { return golden(env); }));
  all.push_back(guarded("clock", [&] { return clock(); }));
  all.push_back(guarded("energy", [&] { return energy(); }));
  for (Check& check : check_machine("/")) all.push_back(std::move(check));
  json::array out;
  for (const Check& check : all) out.emplace_back(to_json(check));
  return out;
}

}  // namespace kiln::kilnd
