// What a failure looks like on its face: the cause as far as its own evidence tells, before other trials are asked.
#pragma once

#include <string>

#include "agents/debugger/debugger.h"

namespace kiln::agents {

// What a mechanical repair would have to lower, if the cause is one of size.
enum class Remedy : std::uint8_t { none, smaller };

struct Symptom {
  std::string cause;  // "missing header", "reads past a tail", "unknown"
  std::string proof;  // the diagnostic, signal, element that shows it
  Remedy remedy = Remedy::none;
  // The failure lies in the node or its toolchain, not in the tunables: no other variant of the template would do.
  bool whole_template = false;
};
[[nodiscard]] Symptom symptom_of(const Failure& failure);

}  // namespace kiln::agents
