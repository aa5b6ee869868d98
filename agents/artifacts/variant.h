// A variant: a template with values for its tunables, for one region on one target.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "runtime/base/json_fwd.h"

namespace kiln::agents {

struct Variant {
  std::string region;    // Region::key
  std::string family;    // corpus folder: "matmul"
  std::string template_name;   // "packed"
  std::string template_digest;
  std::map<std::string, std::int64_t> tunables;
  friend bool operator==(const Variant&, const Variant&) = default;
  friend auto operator<=>(const Variant&, const Variant&) = default;
};

[[nodiscard]] json::object to_json(const Variant& v);
[[nodiscard]] Variant variant_from_json(const json::value& v);
// Hex SHA-256 of the canonical JSON: the variant's identity everywhere.
[[nodiscard]] std::string digest_of(const Variant& v);
// "matmul/packed mr=12 nr=32 kc=256"
[[nodiscard]] std::string to_string(const Variant& v);

}  // namespace kiln::agents
