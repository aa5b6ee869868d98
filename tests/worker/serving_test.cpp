// Measurements of calls that follow each other: throughput of instances side by side, and energy by a powercap folder
// whose counter this test moves.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <thread>

#include "agents/benchmark/benchmark.h"
#include "agents/evaluator/evaluator.h"
#include "tests/temporary_folder.h"
#include "tests/worker/bench.h"

using namespace kiln;
using namespace kiln::test;

namespace {

// A powercap folder with one package, whose counter starts again at kRangeUj.
struct Powercap {
  static constexpr std::int64_t kRangeUj = 40'000'000;

  test::TemporaryFolder folder;
  Powercap() {
    folder.put("intel-rapl:0/name", "package-0\n");
    folder.put("intel-rapl:0/max_energy_range_uj", fmt::format("{}\n", kRangeUj));
    count(0);
  }
  void count(std::int64_t microjoules) { folder.put("intel-rapl:0/energy_uj", text_of(microjoules)); }
  static std::string text_of(std::int64_t microjoules) { return fmt::format("{:08}\n", microjoules % kRangeUj); }
};

// A package that takes so many watts, whatever it does. Its counter goes through its range each two seconds, which no
// pause of the calls outlasts, and soon after its begin.
class FakePackage {
 public:
  static constexpr double kWatts = 20;

  FakePackage() {
    const std::filesystem::path file = powercap_.folder.path / "intel-rapl:0/energy_uj";
    counting_ = std::thread([this, fd = UniqueFd(::open(file.c_str(), O_WRONLY | O_CLOEXEC))] {
      const auto begin = std::chrono::steady_clock::now();
      while (!ended_) {
        const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
        const auto counted_uj = static_cast<std::int64_t>(1e6 * kWatts * passed.count());
        const std::string text = Powercap::text_of(Powercap::kRangeUj - 1'000'000 + counted_uj);
        (void)::pwrite(fd.get(), text.data(), text.size(), 0);  // a lost update is one more lost than the test needs
        std::this_thread::sleep_for(std::chrono::microseconds(300));
      }
    });
  }
  ~FakePackage() {
    ended_ = true;
    counting_.join();
  }
  FakePackage(const FakePackage&) = delete;
  FakePackage& operator=(const FakePackage&) = delete;

  [[nodiscard]] const std::filesystem::path& powercap() const { return powercap_.folder.path; }

 private:
  Powercap powercap_;
  std::atomic<bool> ended_ = false;
  std::thread counting_;
};

// y = 2 x, so many times.
std::string doubling(int times) {
  return "for (int k = 0; k < " + std::to_string(times) +
         "; ++k) for (int i = 0; i < 1000; ++i) { y[i] = 2 * x[i]; asm volatile(\"\" ::: \"memory\"); }";
}

using Bodies = std::vector<std::pair<std::string, std::string>>;  // name, text
MeasureRequest request_of(Bench& bench, Objective objective, const Bodies& bodies) {
  MeasureRequest request;
  request.objective = objective;
  request.instances = 2;
  request.cold = false;
  request.samples = 9;
  request.proof = Proof{bench.graph, "", "normal", 5};
  for (const auto& [name, body] : bodies) {
    const BuildFact built = bench.build(body);
    REQUIRE(built.verdict == Verdict::ok);
    request.subjects.push_back(bench.subject(name, built.object));
  }
  return request;
}

double median(const std::vector<double>& values) { return summarize(values, 0.95).median_ns; }

}  // namespace

TEST_CASE("energy of a call is the package's power times its time, and follows the work") {
  const FakePackage package;
  Bench bench(package.powercap());
  const SampleFact fact =
      bench.bench->measure(request_of(bench, Objective::energy, {{"once", doubling(20)}, {"twice", doubling(40)}}));
  for (const SampleFact::Subject& subject : fact.subjects) {
    INFO(subject.name << ": " << subject.evidence);
    REQUIRE(subject.nj.size() == 9);
    REQUIRE(subject.ns.size() == 9);
    CHECK(judge_timed(subject, policies::Policy{}).verdict == Verdict::ok);
    CHECK(std::abs(median(subject.nj) / (FakePackage::kWatts * median(subject.ns)) - 1) < 0.05);
    CHECK(&subject.cost() == &subject.nj);
  }
  CHECK(median(fact.subjects.at(1).nj) / median(fact.subjects.at(0).nj) == doctest::Approx(2).epsilon(0.3));
}

TEST_CASE("rounds of energy end with their time, but for seven, which can show a difference") {
  const FakePackage package;
  Bench bench(package.powercap());
  MeasureRequest request = request_of(bench, Objective::energy, {{"once", doubling(20)}});
  request.samples = 30;
  request.limit_ns = 1;
  const SampleFact fact = bench.bench->measure(request);
  CHECK(fact.subjects.at(0).nj.size() == 7);
  // The sign test of compare(): seven of seven at a fifth of 5 %, 2^-7 < 0.01 < 2^-6.
  const std::vector<double> seven(7, 1.0), half(7, 0.5), six(6, 1.0), half_of_six(6, 0.5);
  CHECK(compare(seven, half, {}, 0.02, 0.95).comparison == Comparison::faster);
  CHECK(compare(six, half_of_six, {}, 0.02, 0.95).comparison != Comparison::faster);
}

TEST_CASE("a bench tells the joules since it was last asked, past the counter's range") {
  Powercap powercap;
  Bench bench(powercap.folder.path);
  CHECK(bench.bench->joules() == 0);
  powercap.count(1'500'000);
  CHECK(bench.bench->joules() == doctest::Approx(1.5));
  powercap.count(39'000'000);
  CHECK(bench.bench->joules() == doctest::Approx(37.5));
  powercap.count(250'000);
  CHECK(bench.bench->joules() == doctest::Approx(1.25));
  CHECK(bench.bench->joules() == 0);
}

TEST_CASE("without a counter of energy nothing is measured, and the cause is told") {
  const TemporaryFolder none;
  Bench bench(none.path);
  for (const bool asks_joules : {false, true}) {
    std::string why;
    try {
      if (asks_joules) (void)bench.bench->joules();
      else (void)bench.bench->measure(request_of(bench, Objective::energy, {{"once", doubling(1)}}));
    } catch (const Error& error) {
      why = error.what();
    }
    CHECK(why.find("this node has no energy counter: " + none.path.string()) != std::string::npos);
  }
}

TEST_CASE("throughput counts the results of all instances, and what they compute is judged") {
  Bench bench;
  // The lazy one takes what it finds for its results.
  MeasureRequest request = request_of(bench, Objective::throughput,
                                      {{"right", doubling(20)}, {"lazy", "if (y[5] > 0) return; " + doubling(20)}});
  const SampleFact two = bench.bench->measure(request);
  CHECK(judge_timed(two.subjects.at(0), policies::Policy{}).verdict == Verdict::ok);
  CHECK(judge_timed(two.subjects.at(1), policies::Policy{}).verdict == Verdict::wrong);
  CHECK(two.subjects.at(0).nj.empty());
  CHECK(two.subjects.at(0).ns.size() == 9);
  // Sixteen instances on the cores of this machine: no fewer results than one core gives, no more than sixteen do.
  request.subjects.resize(1);
  // The least of a few rounds, since other programs come and go.
  double one = 1e300, sixteen = 1e300;
  for (int round = 0; round < 10 && !(sixteen < 1.5 * one && sixteen > one / 20); ++round) {
    request.instances = 1;
    one = std::min(one, median(bench.bench->measure(request).subjects.at(0).ns));
    request.instances = 16;
    sixteen = std::min(sixteen, median(bench.bench->measure(request).subjects.at(0).ns));
  }
  CHECK(sixteen < 1.5 * one);
  CHECK(sixteen > one / 20);
}
