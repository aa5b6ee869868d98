// A candidate on a CPU as a site serves it: calls that follow each other without a pause, each with its inputs at
// another place. For throughput as many instances of one thread serve at once as there are cores, for energy one of
// all threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/targets/energy.h"
#include "daemon/worker/inside/loaded.h"
#include "daemon/worker/inside/measure.h"

namespace kiln::worker {

// By the counters that a request lends; its function is empty when there are none. Throws Error(corrupt).
[[nodiscard]] targets::EnergyCounter energy_counter_of(const Frame& request);

class ServingSubject final : public Subject {
 public:
  // `counter` is for energy, and outlives it.
  ServingSubject(const std::string& directory, const Timing& timing, const ProofArena& proof,
                 const targets::EnergyCounter& counter);
  ~ServingSubject() override;

  void warm_up() override;
  double sample(bool proves) override;
  [[nodiscard]] double nj() const override { return nj_; }
  void prove() override;

 private:
  class Instance;

  [[nodiscard]] double throughput();
  [[nodiscard]] double energy();

  const Timing timing_;
  const targets::EnergyCounter& counter_;
  std::optional<Mapped> arena_;  // what the oracle judges
  ArenaLayout layout_;
  std::vector<std::byte> proof_;  // its pages as the call that proves left them
  Loaded loaded_;
  std::vector<std::unique_ptr<Instance>> instances_;
  double call_ns_ = 0;  // of the last call to warm up
  double nj_ = 0;
};

}  // namespace kiln::worker
