// How libkiln fails inside: one exception that carries the status of the C interface. It never leaves the library.
#pragma once

#include <stdexcept>
#include <string>

#include "runtime/kiln.h"

namespace kiln::runtime {

class Failure : public std::runtime_error {
 public:
  Failure(kiln_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  [[nodiscard]] kiln_status status() const { return status_; }

 private:
  kiln_status status_;
};

}  // namespace kiln::runtime
