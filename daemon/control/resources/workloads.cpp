#include <algorithm>

#include "daemon/control/errors.h"
#include "daemon/control/resources/resources.h"
#include "daemon/control/rows.h"
#include "runtime/base/json.h"

namespace kiln::control {
namespace {

bool is_workload_name(std::string_view s) {
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !s.empty() && s.size() <= 64 && alphanumeric(s.front()) &&
         std::all_of(s.begin(), s.end(), [&](char c) { return alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

bool is_digest(std::string_view s) {
  return s.size() == 64 &&
         std::all_of(s.begin(), s.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string checked_digest(const std::string& text, const std::string& what, const store::Store& store) {
  if (!is_digest(text))
    throw Error(ErrorCode::invalid_input, "cannot import " + what + ": '" + text + "' is no SHA-256 in lower-case hex");
  if (!store.has_blob(text))
    throw Error(ErrorCode::not_found, "cannot import " + what + ": there is no blob " + text,
                "POST its bytes to /v1/blobs first");
  return text;
}

ImportRequest import_request(Context& context, const Request& request) {
  constexpr std::string_view what = "the request's body";
  const json::object body = json_body(request, {"name", "model", "file_name", "external", "dimensions"});
  ImportRequest out;
  out.name = json::get_string(body, "name", what);
  if (!is_workload_name(out.name))
    throw Error(ErrorCode::invalid_input,
                "cannot import '" + out.name + "': a workload's name matches [a-z0-9][a-z0-9._-]{0,63}");
  out.file_name = json::find_string(body, "file_name", what).value_or("model.onnx");
  if (out.file_name.size() > 4096)
    throw Error(ErrorCode::invalid_input, "cannot import '" + out.name + "': file_name is longer than 4096 bytes");
  out.model = checked_digest(json::get_string(body, "model", what), "'" + out.name + "'", context.services.store);
  if (const json::value* external = body.if_contains("external")) {
    for (const auto& member : json::as_object(*external, "'external' of the request's body")) {
      const std::string location(member.key());
      const std::string digest = json::get_string(external->get_object(), location, "'external' of the request's body");
      out.external[location] = checked_digest(digest, "external data '" + location + "'", context.services.store);
    }
  }
  if (const json::value* dimensions = body.if_contains("dimensions")) {
    for (const auto& member : json::as_object(*dimensions, "'dimensions' of the request's body")) {
      const std::string symbol(member.key());
      const std::int64_t extent = json::get_int(dimensions->get_object(), symbol, "'dimensions' of the request's body");
      if (extent < 1)
        throw Error(ErrorCode::invalid_input,
                    "cannot import '" + out.name + "': dimension '" + symbol + "' is below 1");
      out.dimensions[symbol] = extent;
    }
  }
  return out;
}

}  // namespace

void post_workload(Context& context, const Request& request, const Reply& reply) {
  const ImportRequest import = import_request(context, request);
  context.services.importer.import_model(import, [reply](std::exception_ptr error, store::Workload row) {
    if (error) return reply(error_answer(error));
    Answer answer = json_answer(to_json(row), 201);
    answer.object = row.id;
    reply(std::move(answer));
  });
}

Answer get_workloads(Context& context, const Request&) {
  json::array rows;
  for (const store::Workload& row : context.services.store.workloads()) rows.emplace_back(to_json(row));
  return json_answer(json::object{{"workloads", std::move(rows)}});
}

Answer get_workload(Context& context, const Request& request) {
  return json_answer(to_json(context.services.store.workload(request.parameters.at("id"))));
}

Answer get_graph(Context& context, const Request& request) {
  const store::Workload row = context.services.store.workload(request.parameters.at("id"));
  return raw_answer("application/json", context.services.store.blob(row.graph));
}

}  // namespace kiln::control
