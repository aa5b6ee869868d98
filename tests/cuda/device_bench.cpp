// A GPU's bench from end to end over the fake driver: real workers, which share the GPU's memory.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "agents/evaluator/evaluator.h"
#include "tests/cuda/gpu_bench.h"

using namespace kiln;
using testing::GpuBench;

TEST_CASE("a GPU's bench judges by the device's evaluation, in a process beside the candidate's") {
  GpuBench gpu;
  for (const std::string factor : {"1", "1.001f"}) {
    const agents::CheckFact fact = gpu.check(gpu.subject("times " + factor, "factor = " + factor + ";"));
    CHECK(fact.evidence == "expected outputs by the GPU");
    CHECK(fact.verdict == agents::Verdict::ok);
    CHECK(fact.undoubled.empty());
    CHECK((agents::judge(fact, policies::Policy{}).verdict == agents::Verdict::ok) == (factor == "1"));
  }
}

TEST_CASE("a GPU's bench: candidates of the same constants have a copy each, those of others have theirs") {
  GpuBench gpu;
  const std::string factor = "factor = static_cast<const float*>(arguments.at[2])[1000];",
                    spoil = factor + " if (launches > 0) static_cast<float*>(arguments.at[2])[1000] = 3;";
  struct Case { const char* name; std::string before; float constant; bool right; };
  for (const Case& one : {Case{"first", factor, 1, true}, {"others", factor, 1.001f, false}, {"again", factor, 1, true},
                          {"spoils", spoil, 1, false}, {"after it", factor, 1, true}}) {
    const agents::CheckFact fact = gpu.check(gpu.subject(one.name, one.before, one.constant));
    INFO(one.name << ": " << fact.evidence);
    CHECK((agents::judge(fact, policies::Policy{}).verdict == agents::Verdict::ok) == one.right);
  }
}

TEST_CASE("a GPU's bench: every misbehaviour in shared memory gets its verdict") {
  GpuBench gpu;
  struct Case { const char *name, *before, *evidence; agents::Verdict verdict; };
  for (const Case& one : {
           Case{"before", "if (thread_index() == 0) static_cast<float*>(arguments.at[1])[-1] = 1;", "a guard byte",
                agents::Verdict::out_of_bounds},
           Case{"input", "static_cast<float*>(arguments.at[0])[64 * 99 + 3] = 5;", "input 0 was changed",
                agents::Verdict::out_of_bounds},
           Case{"counts", "factor = 1 + (launches > 1 ? 1e-6f : 0);", "a second call",
                agents::Verdict::nondeterministic},
           Case{"skips", "if (block_index() == 7) return;", "element 7 of output 0 is not written",
                agents::Verdict::wrong}}) {
    const agents::CheckFact fact = gpu.check(gpu.subject(one.name, one.before));
    INFO(one.name << ": " << fact.evidence);
    CHECK(fact.verdict == one.verdict);
    CHECK(fact.evidence.find(one.evidence) != std::string::npos);
  }
  const agents::CheckFact same = gpu.check(gpu.subject("same", "if (thread_index() == 0) "
      "static_cast<float*>(arguments.at[1])[block_index()] = 2; return;"));
  CHECK_FALSE(same.input_sensitive);
  CHECK(same.undoubled.find("element 0 of output 0") != std::string::npos);
}

TEST_CASE("a GPU's bench: a compiler that does not end is stopped at its limit of processor time") {
  GpuBench gpu;
  agents::BuildRequest request;
  request.kernel.file_name = "kernel.cu";
  request.kernel.architecture = "sm_90a";
  request.kernel.source = "// kiln_fake_endless";
  request.timeout_ns = 1'000'000'000;
  const agents::BuildFact fact = gpu.bench->build({&request, 1}).front();
  CHECK(fact.verdict == agents::Verdict::build_timeout);
  CHECK(fact.build_ns >= 900'000'000);  // the kernel counts the second by ticks
}

TEST_CASE("a GPU's bench whose processes cannot share memory says so, and judges over the host's") {
  GpuBench gpu("fake-unsharing");
  for (const std::string factor : {"1", "1.001f"}) {
    const agents::CheckFact fact = gpu.check(gpu.subject("times " + factor, "factor = " + factor + ";"));
    CHECK(fact.evidence.find("expected outputs by the GPU, compared on the CPU, since cannot take over shared device "
                             "memory") == 0);
    CHECK((agents::judge(fact, policies::Policy{}).verdict == agents::Verdict::ok) == (factor == "1"));
  }
}

TEST_CASE("a GPU's bench: a timed call that does nothing, or what an earlier one did, is wrong") {
  GpuBench gpu;
  for (const bool cold : {false, true}) {
    agents::MeasureRequest request;
    request.subjects = {gpu.subject("honest", ""), gpu.subject("idle", "if (launches > 6) return;"),
                        gpu.subject("remembers", R"(
  static float known[100];
  float& last = known[block_index()];
  if (thread_index() == 0 && launches > 6) static_cast<float*>(arguments.at[1])[block_index()] = last;
  if (launches > 6) return;
  last = 0;
  for (int i = 0; i < 64; ++i) last += static_cast<const float*>(arguments.at[0])[64 * block_index() + i];)")};
    request.proof = agents::Proof{gpu.graph, "", "normal", 3};
    request.samples = 12;
    request.cold = cold;
    const agents::SampleFact fact = gpu.bench->measure(request);
    REQUIRE(fact.subjects.size() == 3);
    for (const agents::SampleFact::Subject& subject : fact.subjects) {
      INFO(subject.name << (cold ? " cold: " : " warm: ") << subject.evidence);
      CHECK(subject.ns.size() == 12);
      const bool right = agents::judge_timed(subject, policies::Policy{}).verdict == agents::Verdict::ok;
      CHECK(right == (subject.name == "honest"));
    }
  }
}

// Workers of this process that have or had the GPU, by role; "" of one that is not reaped.
std::multiset<std::string> gpu_workers() {
  std::multiset<std::string> roles;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream status(entry.path() / "status"), command(entry.path() / "cmdline");
    bool is_child = false;
    for (std::string line; std::getline(status, line);)
      is_child = is_child || line == "PPid:\t" + std::to_string(::getpid());
    if (!is_child) continue;
    std::string role;
    for (std::string word; std::getline(command, word, '\0');)
      if (word.ends_with("-cuda")) role = word;
    roles.insert(role);
  }
  return roles;
}

TEST_CASE("a GPU's bench: behind a candidate that faulted or looped no process is left but the oracle's") {
  GpuBench gpu;
  const std::multiset<std::string> oracle{"oracle-cuda"}, both{"oracle-cuda", "run-cuda"};
  for (const char* fault : {"*reinterpret_cast<volatile int*>(8) = 1;", "for (volatile int i = 0;; ++i) {}"}) {
    agents::CheckRequest request;
    request.graph = gpu.graph;
    request.subject = gpu.subject("faulty", fault);
    request.families = {"normal"};
    request.timeout_ns = 1'000'000'000;
    CHECK(gpu.bench->check(request).verdict != agents::Verdict::ok);
    CHECK(gpu_workers() == oracle);
    CHECK(gpu.check(gpu.subject("right", "")).verdict == agents::Verdict::ok);
    CHECK(gpu_workers() == both);
  }
}

TEST_CASE("a GPU's bench: one of several subjects that loops has one subject's time") {
  GpuBench gpu;
  const std::string slow =
      "if (block_index() == 0 && thread_index() == 0) for (volatile int i = 0; i < 100000000; ++i) {}";
  agents::MeasureRequest request;
  request.subjects = {gpu.subject("slow", slow), gpu.subject("loops", "for (volatile int i = 0;; ++i) {}"),
                      gpu.subject("slow too", slow)};
  request.warmup = 1;
  request.samples = 12;
  request.timeout_ns = 2'000'000'000;
  request.limit_ns = 0;
  const agents::SampleFact fact = gpu.bench->measure(request);
  CHECK(fact.subjects.at(0).verdict == agents::Verdict::ok);
  CHECK(fact.subjects.at(1).verdict == agents::Verdict::hung);
  CHECK(fact.subjects.at(2).verdict == agents::Verdict::ok);
  CHECK(fact.subjects.at(0).ns.size() == 12);
}

TEST_CASE("a GPU's bench takes the oracle's kernels that another built, or builds them again where they are gone") {
  GpuBench gpu;
  gpu.objects.remembers = true;
  const agents::Subject subject = gpu.subject("right", "");
  const auto checked_by_another = [&](const std::string& staging) {
    worker::BenchOptions options = gpu.options(KILN_BINARY_DIR "/fake");
    options.staging = gpu.objects.root() / staging;
    CHECK(gpu.check(subject, *worker::make_workbench(options, gpu.objects)).evidence == "expected outputs by the GPU");
  };
  CHECK(gpu.check(subject).evidence == "expected outputs by the GPU");
  const int built = gpu.objects.kept;
  CHECK(built > 1);  // the subject and the oracle's
  checked_by_another("after");
  CHECK(gpu.objects.kept == built);
  gpu.objects.known.clear();
  checked_by_another("later");
  CHECK(gpu.objects.kept > built);
}
