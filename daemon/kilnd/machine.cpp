#include "daemon/kilnd/machine.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <set>
#include <sstream>

#include "runtime/base/error.h"
#include "runtime/base/files.h"

namespace kiln::kilnd {
namespace fs = std::filesystem;
namespace {

constexpr const char* kCpus = "sys/devices/system/cpu";

// The file without the spaces at its ends; nothing when it cannot be read.
std::optional<std::string> text_of(const fs::path& file) {
  try {
    const std::string text = read_file(file, 4 << 20);
    const std::size_t begin = text.find_first_not_of(" \n");
    if (begin == std::string::npos) return std::string();
    return text.substr(begin, text.find_last_not_of(" \n") - begin + 1);
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<std::int64_t> number_of(const fs::path& file) {
  const std::optional<std::string> text = text_of(file);
  std::int64_t out = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), out).ec != std::errc())
    return std::nullopt;
  return out;
}

// Values of "key : value" lines of proc/cpuinfo and proc/meminfo, one per line that has the key.
std::multiset<std::string> values(const std::string& text, std::string_view key) {
  std::multiset<std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1) != key)
      continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    out.insert(begin == std::string::npos ? std::string() : line.substr(begin));
  }
  return out;
}

std::string joined(const std::set<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

// Steady clocks: with another governor a kernel that runs for microseconds is timed while the clock still
// rises.
Check governor(const fs::path& root) {
  std::set<std::string> governors;
  std::error_code missing;  // no such folder: no governor
  for (const auto& cpu : fs::directory_iterator(root / kCpus, missing))
    if (const auto text = text_of(cpu.path() / "cpufreq/scaling_governor")) governors.insert(*text);
  if (governors.empty())
    return passed("governor", "the kernel sets no frequencies here; firmware or a hypervisor does");
  if (governors == std::set<std::string>{"performance"})
    return passed("governor", "performance on every core");
  return caution("governor", "cores run under " + joined(governors),
                 "cpupower frequency-set --governor performance");
}

// Measuring uses one thread per core; what others run on the second one takes half of the core's units.
Check smt(const fs::path& root) {
  if (text_of(root / kCpus / "smt/active").value_or("0") != "1") return passed("smt", "one thread per core");
  return caution(
      "smt", "cores have two threads: other processes may share the core that is measured",
      "echo off > /sys/devices/system/cpu/smt/control; or leave it, when inference runs so as well");
}

// libkiln asks for huge pages by madvise(2): without them weights of many megabytes cost a page walk per 4
// KiB.
Check hugepages(const fs::path& root) {
  const auto text = text_of(root / "sys/kernel/mm/transparent_hugepage/enabled");
  const std::string cure = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
  if (!text)
    return caution("hugepages", "the kernel has no transparent huge pages",
                   "use a kernel with CONFIG_TRANSPARENT_HUGEPAGE");
  if (text->find("[never]") != std::string::npos)
    return caution("hugepages", "transparent huge pages are off", cure);
  return passed("hugepages", "transparent huge pages: " + *text);
}

// Reading any other clock source is a system call or a port access: a microsecond, as long as a small kernel
// runs.
Check clocksource(const fs::path& root) {
  const fs::path folder = root / "sys/devices/system/clocksource/clocksource0";
  const auto current = text_of(folder / "current_clocksource");
  static const std::set<std::string> quick = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page",
                                              "arch_sys_counter", "timebase"};
  if (!current || quick.count(*current) != 0)
    return passed("clocksource", current.value_or("not told by this kernel"));
  const bool tsc = text_of(folder / "available_clocksource").value_or("").find("tsc") != std::string::npos;
  return caution("clocksource", *current + " is read by a slow access",
                 tsc ? "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource"
                     : "boot with tsc=reliable, if the firmware's counter is steady");
}

Check microcode(const fs::path& root) {
  constexpr const char* cure = "apt install intel-microcode amd64-microcode, and reboot";
  const auto versions = values(text_of(root / "proc/cpuinfo").value_or(""), "microcode");
  const std::set<std::string> different(versions.begin(), versions.end());
  if (different.size() > 1)
    return caution("microcode", "cores run different microcode: " + joined(different), cure);
  std::set<std::string> open;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(root / kCpus / "vulnerabilities", missing))
    if (text_of(entry.path()).value_or("").find("no microcode") != std::string::npos)
      open.insert(entry.path().filename().string());
  if (!open.empty()) return caution("microcode", "too old to mitigate: " + joined(open), cure);
  return passed("microcode", different.empty() ? "not told by this kernel"
                                               : "version " + *different.begin() + " on every core");
}

// A compiler takes some 500 MiB per kernel, and the oracle holds a workload's tensors in double precision.
Check memory(const fs::path& root) {
  const auto available = values(text_of(root / "proc/meminfo").value_or(""), "MemAvailable");
  if (available.empty()) return passed("memory", "not told by this kernel");
  const std::int64_t mib = std::strtoll(available.begin()->c_str(), nullptr, 10) >> 10;
  const std::string text = fmt::format("{} MiB available", mib);
  return mib < 2048 ? caution("memory", text,
                              "stop other processes, or add memory: 2 GiB are enough for small models")
                    : passed("memory", text);
}

// Tensors travel to workers in memory files without MFD_NOEXEC_SEAL, which vm.memfd_noexec=2 refuses
// (Linux 6.3).
Check memfd(const fs::path& root) {
  const std::int64_t mode = number_of(root / "proc/sys/vm/memfd_noexec").value_or(0);
  if (mode < 2) return passed("memfd", "memory files can be made");
  return failed("memfd", fmt::format("vm.memfd_noexec is {}: workers get no tensors", mode),
                "sysctl vm.memfd_noexec=1");
}

}  // namespace

std::vector<Check> check_machine(const fs::path& root) {
  return {governor(root),  smt(root),    hugepages(root), clocksource(root),
          microcode(root), memory(root), memfd(root)};
}

std::string namespace_cure(const fs::path& root) {
  const fs::path sys = root / "proc/sys";
  if (number_of(sys / "user/max_user_namespaces").value_or(1) == 0)
    return "sysctl user.max_user_namespaces=1024";
  if (number_of(sys / "kernel/unprivileged_userns_clone").value_or(1) == 0)
    return "sysctl kernel.unprivileged_userns_clone=1";
  if (number_of(sys / "kernel/apparmor_restrict_unprivileged_userns").value_or(0) == 1)
    return "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile that allows kiln-worker user "
           "namespaces";
  return "run kilnd outside of a container and of chroot, on a kernel with CONFIG_USER_NS";
}

}  // namespace kiln::kilnd
