// The one family of exceptions: what stops an operation. A failed candidate is not an Error but a Verdict.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace kiln {

enum class ErrorCode {
  invalid_input,  // malformed or contradictory; the caller can fix it
  unsupported,    // well-formed, but not something this build or node can do
  not_found,
  conflict,    // the state does not allow it now
  permission,  // the role or the sandbox does not allow it
  limit,       // a size, depth, time or count limit
  io,
  corrupt,      // stored or received bytes are not what was written
  unavailable,  // a process or device that should answer does not
  timeout,
  cancelled,
  diverged,  // a replay reached another decision than the record
  internal,  // our bug
};

// The stable lower-case name, as it appears in JSON: "invalid_input".
[[nodiscard]] std::string_view name(ErrorCode code);

// Text grammar: "cannot <do what> on <what>: <cause>"; the remedy says what the operator can do, and may be empty.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, std::string message, std::string remedy = {})
      : std::runtime_error(std::move(message)), code_(code), remedy_(std::move(remedy)) {}

  [[nodiscard]] ErrorCode code() const { return code_; }
  [[nodiscard]] const std::string& remedy() const { return remedy_; }

 private:
  ErrorCode code_;
  std::string remedy_;
};

// An Error with ErrorCode::io that ends in the text of errno, e.g. "cannot open 'x': No such file or directory".
[[nodiscard]] Error system_error(std::string message, int error_number);

}  // namespace kiln
