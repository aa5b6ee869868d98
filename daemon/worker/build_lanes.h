// Sources to code objects, in build workers on all cores. Each build has a worker and a scratch folder of its
// own, since the folder is the worker's only writable place. What the bench's object source has from an earlier build
// of the same source by the same compiler is not built again.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "agents/workbench.h"
#include "daemon/worker/bench_workers.h"

namespace kiln::worker {

class BuildLanes {
 public:
  // `allow_spills`: of registers to memory, for a GPU's kernels that need not be fast.
  explicit BuildLanes(BenchWorkers& workers, bool allow_spills = false)
      : workers_(workers), allow_spills_(allow_spills) {}

  // Facts are parallel to requests; code objects go to the bench's object source. A kernel for an
  // architecture is built by the GPU's compiler, any other by the host's.
  [[nodiscard]] std::vector<agents::BuildFact> build(std::span<const agents::BuildRequest> requests);

 private:
  // One worker with one request under way.
  struct Lane {
    std::unique_ptr<WorkerProcess> worker;
    std::filesystem::path scratch;
    std::size_t request = 0;
    std::int64_t begin_ns = 0, deadline_ns = 0;
    int attempts = 0;  // that were stopped
    bool busy = false;
  };

  [[nodiscard]] std::optional<agents::BuildFact> known_before(const agents::BuildRequest& request,
                                                              const std::string& recipe);
  void keep(const agents::BuildRequest& request, const agents::BuildFact& fact);
  // Those of `requests` that `which` names, into the same places of `facts`.
  void compile(std::span<const agents::BuildRequest> requests, std::span<const std::size_t> which,
               std::vector<agents::BuildFact>& facts);
  void begin(Lane& lane, std::size_t index, const agents::BuildRequest& request, std::size_t number);
  // Nothing when the worker was stopped and the build is to be begun again.
  [[nodiscard]] std::optional<agents::BuildFact> finish(Lane& lane);

  BenchWorkers& workers_;
  const bool allow_spills_;
};

}  // namespace kiln::worker
