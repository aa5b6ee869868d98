#include "daemon/control/dispatch.h"

#include "daemon/control/errors.h"
#include "runtime/base/error.h"

namespace kiln::control {
namespace {

bool takes(std::string_view names, std::string_view key) {
  while (!names.empty()) {
    const std::string_view word = names.substr(0, names.find(' '));
    if (word == key) return true;
    names.remove_prefix(std::min(word.size() + 1, names.size()));
  }
  return false;
}

void check_query(const Route& route, const Request& request) {
  for (const auto& [key, value] : request.query)
    if (!takes(route.query, key))
      throw Error(ErrorCode::invalid_input, "cannot read the request's target: unknown parameter '" + key + "'",
                  route.query.empty() ? "this route takes none" : "this route takes: " + std::string(route.query));
}

void check_body(const Context& context, const Route& route, std::int64_t bytes) {
  const std::int64_t limit = route.kind == Kind::upload ? context.blob_limit_bytes.load() : route.body_limit;
  if (bytes > limit)
    throw Error(ErrorCode::limit, "cannot take the request's body: " + std::to_string(bytes) + " bytes, the limit is " +
                                      std::to_string(limit));
}

std::string subject(const Request& request) {
  std::string out;
  for (const auto& [key, value] : request.parameters) out += (out.empty() ? "" : " ") + value;
  return out;
}

}  // namespace

Admission admit(Context& context, Request& request, std::int64_t content_length) {
  Admission admission;
  try {
    std::string allow;
    admission.route = find_route(request, allow);
    if (admission.route == nullptr) {
      admission.refusal = error_answer(ErrorCode::invalid_input,
                                       "cannot " + request.method + " '" + request.path + "': it takes " + allow);
      admission.refusal.status = 405;
      admission.refusal.allow = allow;
      return admission;
    }
    const Route& route = *admission.route;
    if (request.role < route.role) {
      ++context.figures.refused;
      const std::string who = "uid " + std::to_string(request.peer.uid);
      throw Error(ErrorCode::permission,
                  "cannot " + request.method + " '" + request.path + "' as " + who + ": it needs role " +
                      std::string(name(route.role)) + ", the caller has " + std::string(name(request.role)),
                  "an administrator adds the caller to a group that [access] in kilnd.toml names");
    }
    check_query(route, request);
    check_body(context, route, content_length);
    admission.granted = true;
  } catch (...) {
    admission.refusal = error_answer(std::current_exception());
  }
  return admission;
}

void audit(Context& context, const Route& route, const Request& request, Answer& answer) {
  if (!route.mutates) return;
  store::AuditRow row;
  row.uid = request.peer.uid;
  row.role = std::string(name(request.role));
  row.action = std::string(route.method) + " " + std::string(route.pattern);
  row.object = answer.object.empty() ? subject(request) : answer.object;
  row.status = static_cast<std::int32_t>(answer.status);
  row.recorded_ns = wall_clock_ns();
  try {
    context.services.store.add_audit(row);
  } catch (const std::exception& error) {
    ++context.figures.audit_failed;
    if (answer.status < 400)
      answer = error_answer(ErrorCode::io,
                            "cannot record '" + row.action + "' on '" + row.object + "' in the audit: " + error.what(),
                            "the call itself took effect; free the disk and look at the object before repeating it");
  }
}

void count(Context& context, const Answer& answer) {
  ++context.figures.requests;
  if (answer.status >= 500) ++context.figures.failed;
}

void perform(Context& context, const Route& route, const Request& request, const Reply& reply) {
  const Reply audited = [&context, &route, request, reply](Answer answer) {
    // A full disk makes every write an Error(limit): that is the server's state, not the client's size.
    if (answer.status == 413 && context.services.store.read_only()) answer.status = 507;
    audit(context, route, request, answer);
    reply(std::move(answer));
  };
  try {
    if (route.body_limit == kEmptyBodyBytes && !request.body.empty()) (void)json_body(request, {});  // only {} passes
    route.handler(context, request, audited);
  } catch (...) {
    audited(error_answer(std::current_exception()));
  }
}

}  // namespace kiln::control
