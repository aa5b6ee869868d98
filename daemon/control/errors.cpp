#include "daemon/control/errors.h"

#include "runtime/base/json.h"

namespace kiln::control {

unsigned http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_input: return 400;
    case ErrorCode::permission: return 403;
    case ErrorCode::not_found: return 404;
    case ErrorCode::conflict:
    case ErrorCode::cancelled:
    case ErrorCode::diverged: return 409;
    case ErrorCode::limit: return 413;
    case ErrorCode::unsupported: return 422;
    case ErrorCode::unavailable: return 503;
    case ErrorCode::timeout: return 504;
    case ErrorCode::io:
    case ErrorCode::corrupt:
    case ErrorCode::internal: return 500;
  }
  return 500;
}

Answer error_answer(ErrorCode code, const std::string& message, const std::string& remedy) {
  const json::object error{{"code", name(code)}, {"message", message}, {"remedy", remedy}};
  return json_answer(json::object{{"error", error}}, http_status(code));
}

Answer error_answer(std::exception_ptr exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    return error_answer(error.code(), error.what(), error.remedy());
  } catch (const std::exception& error) {
    return error_answer(ErrorCode::internal, std::string("cannot answer the request: ") + error.what(),
                        "this is a bug; the daemon's log has the time and the caller");
  } catch (...) {
    return error_answer(ErrorCode::internal, "cannot answer the request: unknown exception");
  }
}

}  // namespace kiln::control
