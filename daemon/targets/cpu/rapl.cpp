#include "daemon/targets/cpu/rapl.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "runtime/base/error.h"

namespace kiln::targets::cpu {
namespace fs = std::filesystem;
namespace {

std::optional<std::string> first_line(int fd) {
  char text[64];
  const ssize_t size = ::pread(fd, text, sizeof text, 0);
  if (size <= 0) return std::nullopt;
  const std::string line(text, static_cast<std::size_t>(size));
  return line.substr(0, line.find('\n'));
}

std::optional<std::uint64_t> number(int fd) {
  const std::optional<std::string> text = first_line(fd);
  std::uint64_t value = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

UniqueFd open_file(const fs::path& file) { return UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)); }

std::string name_of(const fs::path& zone) {
  const UniqueFd file = open_file(zone / "name");
  return file ? first_line(file.get()).value_or("") : "";
}

// core and uncore are parts of their package; psys has the packages in it.
bool counts(const std::string& name) { return name.starts_with("package") || name == "dram"; }

std::vector<fs::path> zones_below(const fs::path& powercap) {
  std::vector<fs::path> out;
  std::error_code ignored;  // no folder: no zones
  for (const auto& entry : fs::directory_iterator(powercap, ignored)) {
    const bool is_zone = entry.path().filename().string().starts_with("intel-rapl:");  // AMD's too
    if (is_zone && counts(name_of(entry.path()))) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

RaplZones open_rapl(const fs::path& powercap) {
  RaplZones out;
  for (const fs::path& folder : zones_below(powercap)) {
    errno = 0;
    const auto refuse = [&](const char* file) {
      return RaplZones{{}, (folder / file).string() + ": " + (errno != 0 ? std::strerror(errno) : "it holds no count")};
    };
    RaplZone zone{name_of(folder), open_file(folder / "energy_uj"), 0};
    if (!zone.counter || !number(zone.counter.get())) return refuse("energy_uj");
    const UniqueFd range = open_file(folder / "max_energy_range_uj");
    const std::optional<std::uint64_t> range_uj = range ? number(range.get()) : std::nullopt;
    if (!range_uj || *range_uj == 0) return refuse("max_energy_range_uj");
    zone.range_uj = *range_uj;
    out.zones.push_back(std::move(zone));
  }
  if (out.zones.empty()) out.cause = powercap.string() + " has no intel-rapl zone of a package";
  return out;
}

std::string describe(const std::vector<RaplZone>& zones) {
  std::string out;
  for (const RaplZone& zone : zones) out += (out.empty() ? "RAPL: " : ", ") + zone.name;
  return out;
}

RaplCounter::RaplCounter(std::vector<RaplZone> zones) : zones_(std::move(zones)), last_uj_(zones_.size()) {
  (void)microjoules();
  total_uj_ = 0;
}

std::uint64_t RaplCounter::microjoules() {
  for (std::size_t i = 0; i < zones_.size(); ++i) {
    const std::optional<std::uint64_t> now = number(zones_[i].counter.get());
    if (!now) throw Error(ErrorCode::io, "cannot read the energy of " + zones_[i].name + ": " + std::strerror(errno));
    // A counter that is behind where it was has been through its range.
    total_uj_ += *now >= last_uj_[i] ? *now - last_uj_[i] : *now + zones_[i].range_uj - last_uj_[i];
    last_uj_[i] = *now;
  }
  return total_uj_;
}

}  // namespace kiln::targets::cpu
