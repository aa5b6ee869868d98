// What the benches of one daemon leave each other: what they would otherwise find out again at the start of each job.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "agents/artifacts/facts.h"

namespace kiln::worker {

// Any thread.
class BenchMemory {
 public:
  // What a probe found for benches of one kind, no more than ten minutes ago: it takes seconds of a job. Ceilings that
  // were measured beside other load are too low, then as ever; a job that passes one measures them anew.
  [[nodiscard]] std::optional<agents::NodeFacts> probe(const std::string& kind) const;
  void keep_probe(const std::string& kind, const agents::NodeFacts& facts);

 private:
  struct Probe {
    agents::NodeFacts facts;
    std::int64_t at_ns = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Probe> probes_;
};

}  // namespace kiln::worker
