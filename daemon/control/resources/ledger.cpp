#include <limits>

#include "daemon/control/only_one.h"
#include "daemon/control/resources/resources.h"
#include "daemon/control/rows.h"
#include "runtime/base/json.h"

namespace kiln::control {

Answer get_audit(Context& context, const Request& request) {
  const std::int64_t after = query_int(request, "after", -1, -1, std::numeric_limits<std::int64_t>::max());
  const auto limit = static_cast<std::int32_t>(query_int(request, "limit", 1000, 1, 1000));
  json::array rows;
  for (const store::AuditRow& row : context.services.store.audit(after, limit)) rows.emplace_back(to_json(row));
  return json_answer(json::object{{"audit", std::move(rows)}});
}

Answer get_ledger(Context& context, const Request&) {
  const store::LedgerHead head = context.services.store.ledger_head();
  return json_answer(json::object{{"size", head.size}, {"root", head.root}, {"checkpoint", head.checkpoint}});
}

Answer post_ledger_verify(Context& context, const Request&) {
  const OnlyOne guard(context.verifying, "verify the ledger");
  const std::int64_t entries = context.services.store.verify_ledger();
  return json_answer(json::object{{"valid", true}, {"entries", entries}});
}

}  // namespace kiln::control
