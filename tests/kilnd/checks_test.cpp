// The doctor's checks over machines and folders made here.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>

#include "daemon/kilnd/bench.h"
#include "daemon/kilnd/machine.h"
#include "daemon/kilnd/state_checks.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "store/releases.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::kilnd;
using kiln::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

Check find(const fs::path& root, const std::string& name) {
  for (const Check& check : check_machine(root))
    if (check.name == name) return check;
  FAIL("no check '" << name << "'");
  return {};
}

constexpr auto kPass = Check::Result::pass;
constexpr auto kCaution = Check::Result::caution;
constexpr auto kFail = Check::Result::fail;

}  // namespace

TEST_CASE("a machine that is well has nothing to cure") {
  const TemporaryFolder root;
  for (const char* cpu : {"cpu0", "cpu1"})
    root.put(fs::path("sys/devices/system/cpu") / cpu / "cpufreq/scaling_governor", "performance\n");
  root.put("sys/devices/system/cpu/smt/active", "0\n");
  root.put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  root.put("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
  root.put("sys/devices/system/cpu/vulnerabilities/mds", "Mitigation: Clear CPU buffers; SMT disabled\n");
  root.put("proc/cpuinfo",
           "processor\t: 0\nmicrocode\t: 0x2b000590\n\nprocessor\t: 1\nmicrocode\t: 0x2b000590\n");
  root.put("proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:   12000000 kB\n");
  root.put("proc/sys/vm/memfd_noexec", "1\n");
  for (const Check& check : check_machine(root.path)) {
    CHECK_MESSAGE(check.result == kPass, check.name << ": " << check.detail);
    CHECK(check.cure.empty());
    CHECK_FALSE(check.detail.empty());
  }
}

TEST_CASE("each fault of a machine is found alone, and has a cure") {
  struct Fault {
    const char *name, *file, *text;
    Check::Result result;
    const char *said, *cure;
  };
  const Fault faults[] = {
      {"governor", "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n", kCaution,
       "powersave", "cpupower"},
      {"smt", "sys/devices/system/cpu/smt/active", "1\n", kCaution, "two threads", "smt/control"},
      {"hugepages", "sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n", kCaution, "off",
       "echo madvise"},
      {"clocksource", "sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n", kCaution,
       "hpet", "tsc"},
      {"microcode", "sys/devices/system/cpu/vulnerabilities/mds",
       "Vulnerable: Clear CPU buffers attempted, no microcode\n", kCaution, "mds", "intel-microcode"},
      {"microcode", "proc/cpuinfo", "microcode\t: 0x1\nmicrocode\t: 0x2\n", kCaution, "0x1, 0x2", "reboot"},
      {"memory", "proc/meminfo", "MemAvailable:   1048576 kB\n", kCaution, "1024 MiB", "2 GiB"},
      {"memfd", "proc/sys/vm/memfd_noexec", "2\n", kFail, "is 2", "sysctl vm.memfd_noexec=1"},
  };
  for (const Fault& fault : faults) {
    const TemporaryFolder root;
    root.put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    root.put("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
    root.put(fault.file, fault.text);
    for (const Check& check : check_machine(root.path)) {
      if (check.name != fault.name) {
        CHECK_MESSAGE(check.result == kPass, fault.name << " made " << check.name << " say " << check.detail);
        continue;
      }
      CHECK_MESSAGE(check.result == fault.result, fault.name);
      CHECK(check.detail.find(fault.said) != std::string::npos);
      CHECK(check.cure.find(fault.cure) != std::string::npos);
    }
  }
}

TEST_CASE("a kernel that tells nothing has no fault, but for the huge pages that it lacks") {
  const TemporaryFolder root;
  for (const Check& check : check_machine(root.path))
    CHECK_MESSAGE(check.result == (check.name == "hugepages" ? kCaution : kPass), check.name);
  root.put("sys/devices/system/clocksource/clocksource0/current_clocksource", "acpi_pm\n");
  root.put("sys/devices/system/clocksource/clocksource0/available_clocksource", "hpet acpi_pm\n");
  CHECK(find(root.path, "clocksource").cure.find("tsc=reliable") != std::string::npos);
}

TEST_CASE("what refuses namespaces to workers is named") {
  const TemporaryFolder root;
  CHECK(namespace_cure(root.path).find("container") != std::string::npos);
  root.put("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
  CHECK(namespace_cure(root.path).find("apparmor") != std::string::npos);
  root.put("proc/sys/kernel/unprivileged_userns_clone", "0\n");
  CHECK(namespace_cure(root.path) == "sysctl kernel.unprivileged_userns_clone=1");
  root.put("proc/sys/user/max_user_namespaces", "0\n");
  CHECK(namespace_cure(root.path) == "sysctl user.max_user_namespaces=1024");
}

TEST_CASE("a key that others can use is a failure, and so is a folder in which they can replace it") {
  const TemporaryFolder root;
  const fs::path keys = root.path / "keys", pem = keys / "node.pem";
  root.put("keys/node.pem", "a key");
  const auto result = [&](mode_t folder, mode_t file) {
    REQUIRE(::chmod(keys.c_str(), folder) == 0);
    REQUIRE(::chmod(pem.c_str(), file) == 0);
    return check_key(keys);
  };
  CHECK(result(0700, 0400).result == kPass);
  CHECK(result(0755, 0600).result == kPass);
  CHECK(result(0700, 0440).result == kFail);
  CHECK(result(0700, 0404).result == kFail);
  CHECK(result(0700, 0404).cure.find("chmod 0400 " + pem.string()) == 0);
  CHECK(result(0770, 0400).result == kFail);
  CHECK(result(0770, 0400).cure == "chmod 0700 " + keys.string());
  fs::remove(pem);
  CHECK_THROWS_AS((void)check_key(keys), Error);
}

TEST_CASE("a state folder is closed to others") {
  const TemporaryFolder root;
  const auto with_mode = [&](mode_t mode) {
    REQUIRE(::chmod(root.path.c_str(), mode) == 0);
    return check_state(root.path);
  };
  CHECK(with_mode(0700).result == kPass);
  CHECK(with_mode(0750).result == kPass);
  CHECK(with_mode(0755).result == kCaution);
  CHECK(with_mode(0770).result == kCaution);
  CHECK(with_mode(0700).result == kPass);
  CHECK(check_state("/proc").result != kPass);  // on Linux it is mounted noexec, or its mode is 0555
  CHECK(check_disk("/proc").result == kFail);   // no space at all
  CHECK_THROWS_AS((void)check_disk(root.path / "nowhere"), Error);
}

TEST_CASE("a current release of which a file or the link has changed is found") {
  const TemporaryFolder root;
  const auto store = store::Store::open({.directory = root.path, .ballast_bytes = 4096});
  CHECK(check_releases(*store).result == kPass);
  store::Workload w;
  w.name = "block";
  w.model = store->put_blob("a model");
  w.graph = store->put_blob("{\"nodes\":[]}");
  w.id = "w-" + w.graph.substr(0, 12);
  store->add_workload(w);
  store::ReleaseRow row;
  row.workload = w.id;
  row.job = store->add_job(w.id, {{"seed", 1}}).id;
  row.kind = "baseline";
  store::ReleaseContent content;
  content.plan = {{"run", json::array{}}, {"objects", json::array{}}};
  content.sources = {{"kernel.cpp", "int main() {}"}};
  row.id = store::write_release(*store, content, root.path / "staging/r");
  row = store->add_release(row, root.path / "staging/r");
  store->set_current(row.id);
  CHECK(check_releases(*store).result == kPass);

  const auto damaged = [&](const fs::path& file, const std::string& said) {
    const std::string before = read_file(row.directory / file);
    write_file_atomic(row.directory / file, before + " ");
    const Check check = check_releases(*store);
    CHECK(check.result == kFail);
    CHECK_MESSAGE(check.detail.find(said) != std::string::npos, check.detail);
    CHECK(check.cure.find("kctl rollback") == 0);
    write_file_atomic(row.directory / file, before);
    CHECK(check_releases(*store).result == kPass);
  };
  damaged("plan.json", "plan.json has another digest");
  damaged("sources/kernel.cpp", "sources/kernel.cpp has another digest");
  damaged("manifest.json", "manifest.json has another digest");
  const fs::path link = root.path / "releases/block/current";
  fs::remove(link);
  fs::create_symlink("7", link);
  CHECK(check_releases(*store).result == kFail);
}

TEST_CASE("a share of cores is rounded down, is one at least, and all of them is no limit") {
  CHECK(shared_cores(64, 1.0) == 0);
  CHECK(shared_cores(64, 0.5) == 32);
  CHECK(shared_cores(3, 0.5) == 1);
  CHECK(shared_cores(2, 0.01) == 1);
  CHECK(shared_cores(7, 0.99) == 6);
}
