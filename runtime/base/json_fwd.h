// The names of JSON values for headers that only pass them on; who looks inside includes runtime/base/json.h.
#pragma once

#include <boost/json/fwd.hpp>

namespace kiln::json {

using boost::json::array;
using boost::json::object;
using boost::json::value;

}  // namespace kiln::json
