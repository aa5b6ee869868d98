// daemon/control/openapi.json, as compiled in.
#pragma once

#include <string_view>

namespace kiln::control {

[[nodiscard]] std::string_view openapi_document();

}  // namespace kiln::control
