#include "daemon/targets/energy.h"

#include <doctest/doctest.h>

#include <cmath>

#include "daemon/targets/cpu/rapl.h"
#include "runtime/base/error.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::targets;

namespace {

// A clock that calls move, and a counter that follows `watts` in steps.
struct Machine {
  double now_ns = 0, call_ns = 0, watts = 0, step_ns = 0, unit_uj = 1;
  double calls = 0;

  [[nodiscard]] EnergyCounter counter() {
    return {[this] {
              const double stepped_ns = std::floor(now_ns / step_ns) * step_ns;
              return static_cast<std::uint64_t>(std::floor(stepped_ns * watts * 1e-3 / unit_uj) * unit_uj);
            },
            step_ns};
  }
  [[nodiscard]] Spent spent(std::int64_t at_once) {
    const auto work = [this, at_once] {
      now_ns += call_ns * static_cast<double>(at_once);
      calls += static_cast<double>(at_once);
    };
    return energy_of_calls(work, at_once, counter(), [this] { return now_ns; });
  }
};

// A powercap folder of the kernel's shape.
struct Powercap {
  test::TemporaryFolder folder;

  void zone(const std::string& name_in_folder, const std::string& name, const std::string& energy,
            const std::string& range) {
    folder.put(name_in_folder + "/name", name + "\n");
    folder.put(name_in_folder + "/energy_uj", energy + "\n");
    folder.put(name_in_folder + "/max_energy_range_uj", range + "\n");
  }
};

}  // namespace

TEST_CASE("the energy of a call is within 1 % of power times time, whatever the counter's steps") {
  for (const double call_ns : {3e3, 7e4, 1.3e6, 2.1e8})
    for (const double step_ns : {1e6, 2e7, 1e8})
      for (const double watts : {3.0, 650.0}) {
        Machine machine{.call_ns = call_ns, .watts = watts, .step_ns = step_ns, .unit_uj = step_ns > 1e7 ? 1000. : 61.};
        const Spent spent = machine.spent(std::max<std::int64_t>(1, static_cast<std::int64_t>(2e5 / call_ns)));
        INFO(call_ns << " ns a call, a step each " << step_ns << " ns, " << watts << " W");
        CHECK(std::abs(spent.nj / (watts * call_ns) - 1) < 0.011);
        CHECK(spent.ns == doctest::Approx(call_ns).epsilon(1e-9));
      }
}

TEST_CASE("no more calls are made than the counter's steps want") {
  Machine fast{.call_ns = 1e5, .watts = 100, .step_ns = 1e6};
  (void)fast.spent(2);
  CHECK(fast.now_ns < 1e8);
  Machine slow{.call_ns = 1e5, .watts = 400, .step_ns = 1e8};
  (void)slow.spent(20);
  CHECK(slow.now_ns < 1e9);
}

TEST_CASE("a counter that stands still is an error, not a measurement without end") {
  Machine machine{.call_ns = 1e6, .watts = 0, .step_ns = 1e6};
  CHECK_THROWS_AS((void)machine.spent(1), Error);
}

TEST_CASE("RAPL: packages and their memory are summed, parts of them and the platform are not") {
  Powercap powercap;
  powercap.zone("intel-rapl:0", "package-0", "1000", "262143328850");
  powercap.zone("intel-rapl:0:0", "core", "5", "262143328850");
  powercap.zone("intel-rapl:0:1", "dram", "70", "65712999613");
  powercap.zone("intel-rapl:1", "package-1", "9", "262143328850");
  powercap.zone("intel-rapl:2", "psys", "9000", "262143328850");
  powercap.zone("intel-rapl-mmio:0", "package-0", "1000", "262143328850");
  cpu::RaplZones found = cpu::open_rapl(powercap.folder.path);
  CHECK(found.cause.empty());
  CHECK(cpu::describe(found.zones) == "RAPL: package-0, dram, package-1");
  cpu::RaplCounter counter(std::move(found.zones));
  CHECK(counter.microjoules() == 0);
  powercap.zone("intel-rapl:0", "package-0", "1500", "262143328850");
  powercap.zone("intel-rapl:0:1", "dram", "71", "65712999613");
  powercap.zone("intel-rapl:2", "psys", "99999", "262143328850");
  CHECK(counter.microjoules() == 501);
}

TEST_CASE("RAPL: a counter that went through its range goes on counting") {
  Powercap powercap;
  powercap.zone("intel-rapl:0", "package-0", "9990", "10000");
  cpu::RaplCounter counter(cpu::open_rapl(powercap.folder.path).zones);
  powercap.zone("intel-rapl:0", "package-0", "15", "10000");
  CHECK(counter.microjoules() == 25);
  powercap.zone("intel-rapl:0", "package-0", "10000", "10000");
  CHECK(counter.microjoules() == 10'010);
  powercap.zone("intel-rapl:0", "package-0", "0", "10000");
  CHECK(counter.microjoules() == 10'010);
}

TEST_CASE("RAPL: what cannot be read is named, and nothing is counted by halves") {
  Powercap powercap;
  CHECK(cpu::open_rapl(powercap.folder.path).cause.find("has no intel-rapl zone") != std::string::npos);
  CHECK(cpu::open_rapl("/nowhere").cause == "/nowhere has no intel-rapl zone of a package");
  powercap.zone("intel-rapl:0", "package-0", "1", "100");
  powercap.zone("intel-rapl:1", "package-1", "none", "100");
  const cpu::RaplZones half = cpu::open_rapl(powercap.folder.path);
  CHECK(half.zones.empty());
  CHECK(half.cause.find("intel-rapl:1/energy_uj") != std::string::npos);
  powercap.zone("intel-rapl:1", "package-1", "1", "0");
  CHECK(cpu::open_rapl(powercap.folder.path).cause.find("max_energy_range_uj") != std::string::npos);
  std::filesystem::remove(powercap.folder.path / "intel-rapl:1" / "energy_uj");
  CHECK(cpu::open_rapl(powercap.folder.path).cause.find("energy_uj: No such file") != std::string::npos);
}
