// What the machine code of a cubin for sm_90 and later does before it has waited for the launch before it.
#pragma once

#include <map>
#include <string>

namespace kiln::testing {

// In the order of the text, which begins where the kernel does.
struct Order {
  bool waits = false;  // for the launch before: griddepcontrol.wait
  int accesses = 0;    // of device memory
  int early = 0;       // of these, before the wait
};

// By symbol. Throws std::runtime_error where the ELF file ends early.
[[nodiscard]] std::map<std::string, Order> order_of_accesses(const std::string& cubin);

}  // namespace kiln::testing
