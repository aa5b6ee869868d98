// The record of a job: what it measured and what it decided, entry by entry.
#include <charconv>

#include "daemon/control/resources/resources.h"
#include "daemon/control/rows.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::control {

Answer get_entries(Context& context, const Request& request) {
  const store::Job job = context.services.store.job(request.parameters.at("id"));
  const std::int64_t after = query_int(request, "after", -1, -1, std::numeric_limits<std::int64_t>::max());
  json::array rows;
  for (const store::JobEntry& row : context.services.store.entries(job.id))
    if (row.sequence > after) rows.emplace_back(to_json(row));
  return json_answer(json::object{{"job", job.id}, {"entries", std::move(rows)}});
}

Answer get_entry(Context& context, const Request& request) {
  const store::Job job = context.services.store.job(request.parameters.at("id"));
  const std::string& text = request.parameters.at("sequence");
  std::int64_t sequence = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), sequence);
  if (error != std::errc() || end != text.data() + text.size())
    throw Error(ErrorCode::invalid_input, "cannot read entry '" + text + "' of job '" + job.id + "': it is no number");
  for (const store::JobEntry& row : context.services.store.entries(job.id))
    if (row.sequence == sequence) return raw_answer("application/json", context.services.store.blob(row.content));
  throw Error(ErrorCode::not_found, "cannot read entry " + text + " of job '" + job.id + "': there is no such entry");
}

}  // namespace kiln::control
