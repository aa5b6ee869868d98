// The record of one job: the facts it took from outside and the decisions it reached, in order. Resume, replay and
// audit are one mechanism: the conductor always runs from the start; a fact that is on record is returned instead of
// taken, a decision that is on record must come out the same.
#pragma once

#include <functional>
#include <string_view>

#include "runtime/base/json.h"

namespace kiln::agents {

class Journal {
 public:
  virtual ~Journal() = default;

  // If the next entry on record is this effect (same kind and same digest of `request`), returns its fact; if it is
  // another, throws Error(diverged). Past the end of the record: calls `take`, records the fact durably, returns it.
  // A replay throws Error(diverged) instead of calling `take`.
  virtual json::value fact(std::string_view kind, const json::value& request,
                           const std::function<json::value()>& take) = 0;

  // Records an agent's artifact, or compares it with the one on record: other bytes throw Error(diverged).
  virtual void decision(std::string_view kind, const json::value& artifact) = 0;

  // Progress for people; not part of the record, never replayed. `progress` is a node of the phase tree.
  struct Progress {
    std::string_view phase;  // "import", "profile", "plan", "search/<region>", "decide", "release", "report"
    double fraction = 0;     // 0..1 of the whole job
    json::object detail;     // candidates tried and failed, best so far, ...
  };
  virtual void progress(const Progress& p) = 0;

  // True when the operator has asked to stop; the conductor then throws Error(cancelled) at the next step.
  [[nodiscard]] virtual bool cancelled() const = 0;
};

}  // namespace kiln::agents
