// The phases of a job: their spans for the report, and where the operator is told that it is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agents/conductor/lab.h"
#include "agents/conductor/trace.h"

namespace kiln::agents {

// Times phases on the recorded clock, one behind the other.
class Phases {
 public:
  Phases(Lab& lab, std::vector<PhaseSpan>& timeline) : lab_(lab), timeline_(timeline) {}

  // Ends the one before. Returns when it began.
  [[nodiscard]] std::int64_t begin(const std::string& phase, double fraction, const std::string& detail = {});
  void end() { timeline_.back().end_ns = lab_.now("end"); }

 private:
  Lab& lab_;
  std::vector<PhaseSpan>& timeline_;
};

}  // namespace kiln::agents
