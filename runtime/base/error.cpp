#include "runtime/base/error.h"

#include <array>
#include <system_error>

namespace kiln {

std::string_view name(ErrorCode code) {
  static constexpr std::array<std::string_view, 13> names = {
      "invalid_input", "unsupported", "not_found", "conflict",  "permission", "limit",   "io",
      "corrupt",       "unavailable", "timeout",   "cancelled", "diverged",   "internal"};
  return names.at(static_cast<std::size_t>(code));
}

Error system_error(std::string message, int error_number) {
  return Error(ErrorCode::io, std::move(message) + ": " + std::generic_category().message(error_number));
}

}  // namespace kiln
