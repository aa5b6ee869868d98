// Errors as answers: {"error": {"code", "message", "remedy"}} with the HTTP status of the code.
#pragma once

#include <exception>
#include <string>

#include "daemon/control/message.h"
#include "runtime/base/error.h"

namespace kiln::control {

[[nodiscard]] unsigned http_status(ErrorCode code);
[[nodiscard]] Answer error_answer(ErrorCode code, const std::string& message, const std::string& remedy = {});
// Any exception; what is no kiln::Error is our bug and becomes `internal`.
[[nodiscard]] Answer error_answer(std::exception_ptr exception);

}  // namespace kiln::control
