// The measure request of the run roles: loading its subjects, timing them in turns, and the answer. What a device does
// of its own is behind Subject and Device.
//   measure  {subjects: [{name, directory}], warmup, samples, objective, instances, cold, per_launch, seed, poison,
//            limit_ns, layout, shared?, counters?: [{name, range_uj}]} + progress file
//            [+ an arena per subject: a file, or memory of a GPU that is shared] [+ a file per counter of energy]
//            -> {subjects: [{name, ns, nj?, launch_ns} | {name, refused or forbidden}], cycles_per_ns}
// The progress file (daemon/worker/progress.h) says which subject is at work, so that the parent knows whom a crash
// belongs to, and when the last step ended.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agents/artifacts/objective.h"
#include "daemon/worker/arena.h"
#include "daemon/worker/frame.h"
#include "daemon/worker/memory.h"
#include "runtime/base/json_fwd.h"

namespace kiln::worker {

struct Timing {
  std::uint64_t seed = 0;
  std::int64_t warmup = 0, samples = 0;  // calls of each subject
  agents::Objective objective = agents::Objective::latency;
  std::int64_t instances = 1;            // that serve at once on a CPU, where throughput is measured
  std::int64_t limit_ns = 0;             // of the rounds: none begins after it, but for the least that a verdict needs
  bool cold = false;                     // caches are overwritten before each timed call
  bool per_launch = false;               // with the time of each launch
  std::byte poison{};                    // of outputs before a timed call
};

// A candidate that is measured. Each call throws Refused, and is then the last.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual void warm_up() = 0;  // one call, not timed
  // One timed call: its wall nanoseconds. Or, as the objective wants, the nanoseconds per result of many. One call of
  // each subject that has an arena `proves`: it gets the arena's inputs, and what it leaves is what the oracle judges.
  [[nodiscard]] virtual double sample(bool proves) = 0;
  // Nanojoules per call of that sample; 0 where energy is not measured.
  [[nodiscard]] virtual double nj() const { return 0; }
  // Of that call, one figure per launch; empty where launches are not timed.
  [[nodiscard]] virtual std::vector<double> launch_ns() const { return {}; }
  // After the last round: leaves in its arena what the call that proves left.
  virtual void prove() {}
};

// What the oracle filled for the call that proves, and will judge.
struct ProofArena {
  int fd = -1;                          // a memory file, or the descriptor of a GPU's memory; -1: there is none
  const json::value* layout = nullptr;  // of the arena
  const json::value* shared = nullptr;  // of a GPU's memory; null: the arena is a file
};

class Device {
 public:
  virtual ~Device() = default;
  // The order in which to load the subjects of a request, as indices of their directories.
  [[nodiscard]] virtual std::vector<std::size_t> loading_order(const std::vector<std::string>& directories);
  [[nodiscard]] virtual std::unique_ptr<Subject> load(const std::string& directory, const Timing& timing,
                                                      const ProofArena& proof) = 0;
  // All subjects are loaded and warm.
  virtual void ready() {}
  // The clock that its kernels run at, right after a round.
  [[nodiscard]] virtual double cycles_per_ns() = 0;
};

[[nodiscard]] Frame measure(const Frame& request, Device& device);

// {outcome: why}: "refused", "forbidden", "unstable" or "faulted".
[[nodiscard]] Frame answer(const char* outcome, const std::string& why);

}  // namespace kiln::worker
