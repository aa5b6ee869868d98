// Many kernels in one translation unit: the includes and the start of the compiler are paid once.
#pragma once

#include <string>
#include <vector>

#include "agents/workbench.h"

namespace kiln::mutation {

struct Member {
  agents::RenderedKernel kernel;  // its symbols are its own once it is built
  bool builds = true;             // false: the compiler refused it
  std::string refusal;
  std::string object;  // digest of the code object that holds it
};

// The translation unit of several kernels: member i in namespace member_<i>, its symbols with _<i> behind them.
[[nodiscard]] std::string unit_source(const std::vector<agents::RenderedKernel>& members);

// Members have equal flags. Those that the compiler refuses are told by the lines of its errors and left out; where
// they cannot be told apart, each is built alone.
void build_batch(agents::Workbench& bench, std::vector<Member*> members);

}  // namespace kiln::mutation
