#include "daemon/kilnd/doctor.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "daemon/worker/cpu_workbench.h"
#include "daemon/kilnd/bench.h"

namespace kiln::kilnd {
namespace {

json::object row(std::string_view check, std::string_view result, const std::string& detail, const std::string& cure = {}) {
  return {{"check", check}, {"result", result}, {"detail", detail}, {"cure", cure}};
}

// The smallest kernel that is one: a compiler that builds it can build what the writer renders.
json::object toolchain(const JobEnvironment& env) {
  const std::unique_ptr<agents::Workbench> bench = make_bench(env, "doctor");
  agents::BuildRequest request;
  request.kernel.file_name = "doctor.cpp";
  request.kernel.source = "#include \"runtime/kernel_abi.h\"\nextern \"C\" void kiln_doctor(void* const*, const kiln_task*) {}\n";
  const agents::BuildFact fact = bench->build(std::vector<agents::BuildRequest>{request}).front();
  if (fact.verdict == agents::Verdict::ok)
    return row("toolchain", "PASS", "c++ built a kernel of " + std::to_string(fact.object_bytes) + " bytes in " + std::to_string(fact.build_ns / 1'000'000) + " ms");
  const std::string why = fact.diagnostics.empty() ? std::string(agents::name(fact.verdict)) : fact.diagnostics.front().message;
  return row("toolchain", "FAIL", why, "apt install g++");
}

json::object sandbox(const JobEnvironment& env) {
  worker::BenchOptions options;
  options.worker = env.worker;
  options.staging = env.store.directory() / "staging";
  const std::vector<std::string> active = worker::sandbox_mechanisms(options);
  std::string list;
  for (const std::string& item : active) list += (list.empty() ? "" : ", ") + item;
  for (const char* wanted : {"landlock", "seccomp", "network_namespace"}) {
    const bool there = std::any_of(active.begin(), active.end(), [&](const std::string& item) { return item.starts_with(wanted); });
    if (!there) return row("sandbox", "CAUTION", "workers run without " + std::string(wanted) + "; active: " + list, "use a kernel of at least 5.13 with user namespaces");
  }
  return row("sandbox", "PASS", list);
}

json::object store_row(const JobEnvironment& env) {
  const std::int64_t entries = env.store.verify_ledger();
  if (env.store.read_only()) return row("store", "FAIL", "the store is read-only", "free space on its file system");
  return row("store", "PASS", "the ledger's " + std::to_string(entries) + " entries are whole");
}

json::object disk(const JobEnvironment& env) {
  struct statvfs status{};
  if (::statvfs(env.store.directory().c_str(), &status) != 0) return row("disk", "CAUTION", "its free space cannot be read");
  const auto free_mib = static_cast<std::int64_t>(status.f_bavail * (status.f_frsize >> 10) >> 10);
  const std::string text = std::to_string(free_mib) + " MiB free in " + env.store.directory().string();
  return free_mib < 1024 ? row("disk", "CAUTION", text, "free at least 1 GiB") : row("disk", "PASS", text);
}

// The same loop, many times: on a machine with a steady clock and no neighbours it takes the same time.
json::object clock() {
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
  const std::string text = "the middle half of 101 equal loops differs by " + std::to_string(100 * spread).substr(0, 4) + " %";
  return spread > 0.05 ? row("clock", "CAUTION", text, "stop other load; set the governor to performance") : row("clock", "PASS", text);
}

json::object corpus(const JobEnvironment& env) {
  const std::string text = std::to_string(env.corpus.templates().size()) + " templates, " + std::to_string(env.corpus.golden().size()) +
                           " golden cases, digest " + env.corpus.digest().substr(0, 12);
  return env.corpus.templates().empty() ? row("corpus", "FAIL", text, "set paths.corpus") : row("corpus", "PASS", text);
}

template <class Check>
json::object guarded(std::string_view name, Check check) {
  try {
    return check();
  } catch (const Error& error) {
    return row(name, "FAIL", error.what(), error.remedy());
  }
}

}  // namespace

json::array examine(const JobEnvironment& env) {
  json::array out;
  out.emplace_back(guarded("toolchain", [&] { return toolchain(env); }));
  out.emplace_back(guarded("sandbox", [&] { return sandbox(env); }));
  out.emplace_back(guarded("store", [&] { return store_row(env); }));
  out.emplace_back(guarded("disk", [&] { return disk(env); }));
  out.emplace_back(guarded("clock", [&] { return clock(); }));
  out.emplace_back(guarded("corpus", [&] { return corpus(env); }));
  return out;
}

}  // namespace kiln::kilnd
