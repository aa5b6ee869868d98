// The processor's own counters of energy (RAPL), as Linux's powercap shows them: Documentation/power/powercap of the
// kernel. Each is a file that counts microjoules and starts again at its range; since 5.10 only root may read it, and
// whom root allows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/base/unique_fd.h"

namespace kiln::targets::cpu {

inline constexpr double kRaplStepNs = 1e6;  // Intel 64 and IA-32 manual, volume 3, 15.10: about once a millisecond

struct RaplZone {
  std::string name;  // "package-0", "dram"
  UniqueFd counter;
  std::uint64_t range_uj = 0;
};

// Every package of the node, and the memory beside it where that is counted: no zone is part of another.
struct RaplZones {
  std::vector<RaplZone> zones;  // empty when one of them cannot be read
  std::string cause;            // then
};
[[nodiscard]] RaplZones open_rapl(const std::filesystem::path& powercap);
// "RAPL: package-0, dram".
[[nodiscard]] std::string describe(const std::vector<RaplZone>& zones);

// The sum of the zones since it was made. It must be asked more often than a zone counts to its range: some 20 minutes
// at full power.
class RaplCounter {
 public:
  explicit RaplCounter(std::vector<RaplZone> zones);  // throws Error(io)
  [[nodiscard]] std::uint64_t microjoules();          // throws Error(io)
  [[nodiscard]] const std::vector<RaplZone>& zones() const { return zones_; }

 private:
  std::vector<RaplZone> zones_;
  std::vector<std::uint64_t> last_uj_;
  std::uint64_t total_uj_ = 0;
};

}  // namespace kiln::targets::cpu
