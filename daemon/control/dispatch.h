// From a request to its answer, without a socket: match, authorise, call, audit. The fuzz target and the role tests
// drive exactly this.
#pragma once

#include "daemon/control/routes.h"

namespace kiln::control {

// What a request may do, decided from its head alone, before a byte of its body is read.
struct Admission {
  const Route* route = nullptr;  // null: no such route or method
  bool granted = false;
  Answer refusal;                // when not granted
};
[[nodiscard]] Admission admit(Context& context, Request& request, std::int64_t content_length);

// Runs the route's handler where this is called. Exceptions become answers; a mutating call is audited before it is
// answered.
void perform(Context& context, const Route& route, const Request& request, const Reply& reply);

// One durable audit record of a mutating call; does nothing for others. When the record cannot be written, a success
// becomes an error that says so: a change without a record must not look ordinary.
void audit(Context& context, const Route& route, const Request& request, Answer& answer);

// Counts an answer.
void count(Context& context, const Answer& answer);

}  // namespace kiln::control
