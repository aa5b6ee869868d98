// The CPU's counters of energy, which are files that root gives to whom it wants. The daemon may be one of these: it
// opens them and lends them to the run worker, whose sandbox has no way to them. A GPU's counter is asked of a
// worker.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "daemon/targets/cpu/rapl.h"
#include "daemon/worker/frame.h"

namespace kiln::worker {

class RaplSource {
 public:
  explicit RaplSource(const std::filesystem::path& powercap);

  [[nodiscard]] std::string describe() const;                  // "RAPL: package-0"; empty: no counter can be read,
  [[nodiscard]] const std::string& cause() const { return cause_; }  // and why
  // Adds `counters` to a measure request, and their descriptors behind all others. Throws Error(unavailable) when there
  // are none.
  void lend(Frame& request) const;
  // Since some moment. Throws Error(unavailable), Error(io).
  [[nodiscard]] std::uint64_t microjoules();

 private:
  std::string cause_;
  std::optional<targets::cpu::RaplCounter> counter_;
};

}  // namespace kiln::worker
