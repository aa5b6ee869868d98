// Rows of the store as the JSON that clients see (schemas in openapi.json).
#pragma once

#include "runtime/base/json_fwd.h"
#include "store/store.h"

namespace kiln::control {

[[nodiscard]] json::object to_json(const store::Workload& row);
[[nodiscard]] json::object to_json(const store::Job& row);
[[nodiscard]] json::object to_json(const store::JobEntry& row);
[[nodiscard]] json::object to_json(const store::ReleaseRow& row);
// What the job that made a release found: "faster", "slower", "same" or "ambiguous"; "none" for a baseline, which was
// there before anything was compared.
[[nodiscard]] std::string verdict_of(const store::ReleaseRow& row);
[[nodiscard]] json::object to_json(const store::Event& row);
[[nodiscard]] json::object to_json(const store::AuditRow& row);

}  // namespace kiln::control
