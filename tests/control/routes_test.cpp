#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "daemon/control/errors.h"
#include "daemon/control/openapi.h"
#include "daemon/control/routes.h"
#include "runtime/base/json.h"

using namespace kiln;
using namespace kiln::control;

namespace {

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return static_cast<char>(c - 'a' + 'A'); });
  return text;
}

std::string query_names(const json::object& operation) {
  std::string out;
  if (!operation.contains("parameters")) return out;
  for (const json::value& p : operation.at("parameters").as_array())
    if (p.at("in").as_string() == "query") out += (out.empty() ? "" : " ") + std::string(p.at("name").as_string());
  return out;
}

}  // namespace

TEST_CASE("the table of routes is the document's: method, path, role, mutation, limit, parameters") {
  const json::value document = json::parse(openapi_document(), "openapi.json");
  std::set<const Route*> described;
  for (const auto& path : document.at("paths").as_object()) {
    for (const auto& method : path.value().as_object()) {
      const json::object& operation = method.value().as_object();
      const auto found = std::find_if(routes().begin(), routes().end(), [&](const Route& r) {
        return r.method == upper(std::string(method.key())) && r.pattern == std::string_view(path.key());
      });
      CAPTURE(std::string(path.key()));
      REQUIRE(found != routes().end());
      described.insert(&*found);
      CHECK(operation.at("x-kiln-role").as_string() == std::string(name(found->role)));
      CHECK(operation.at("x-kiln-mutates").as_bool() == found->mutates);
      CHECK(query_names(operation) == found->query);
      const json::value* limit = operation.if_contains("x-kiln-body-limit");
      if (found->kind == Kind::upload) CHECK(limit->as_int64() == std::int64_t{16} << 30);
      else CHECK((limit == nullptr ? 0 : limit->as_int64()) == found->body_limit);
    }
  }
  CHECK(described.size() == routes().size());
}

TEST_CASE("a path is matched segment by segment") {
  const auto match = [](std::string method, std::string path) {
    Request request;
    request.method = std::move(method);
    request.path = std::move(path);
    std::string allow;
    const Route* route = find_route(request, allow);
    return std::make_tuple(route == nullptr ? std::string() : std::string(route->pattern), request.parameters, allow);
  };
  using Parameters = std::map<std::string, std::string>;
  CHECK(match("GET", "/v1/jobs/j-1") == std::make_tuple("/v1/jobs/{id}", Parameters{{"id", "j-1"}}, ""));
  CHECK(std::get<1>(match("GET", "/v1/jobs/j-1/artifacts/a%2Fb%20c")) == Parameters{{"id", "j-1"}, {"name", "a/b c"}});
  CHECK(std::get<2>(match("PUT", "/v1/jobs")) == "POST, GET");
  for (const char* wrong : {"/", "/v1", "/v1/jobs/", "/v1/jobs//entries", "/v1/jobs/j-1/entries/0/x", "//v1/jobs",
                            "/V1/jobs", "/v1/releases/a/diff"})
    CHECK_THROWS_AS(match("GET", wrong), Error);
}

TEST_CASE("a target is decoded strictly") {
  Request request;
  parse_target("/v1/audit?after=3&limit=%31%30&empty=", request);
  CHECK(request.path == "/v1/audit");
  CHECK(request.query == std::map<std::string, std::string>{{"after", "3"}, {"limit", "10"}, {"empty", ""}});
  CHECK(query_int(request, "limit", 0, 0, 10) == 10);
  CHECK(query_int(request, "absent", 7, 0, 10) == 7);
  CHECK_THROWS_AS((void)query_int(request, "limit", 0, 0, 9), Error);
  CHECK_THROWS_AS((void)query_int(request, "empty", 0, 0, 9), Error);
  for (const char* wrong :
       {"", "v1", "*", "/a?x=%", "/a?x=%4", "/a?x=%g0", "/a?x=%00", "/a?x=1&x=2", "http://kiln/v1/status"}) {
    Request fresh;
    CAPTURE(wrong);
    CHECK_THROWS_AS(parse_target(wrong, fresh), Error);
  }
}

TEST_CASE("each error code has the status that RFC 9110 gives its meaning") {
  CHECK(http_status(ErrorCode::invalid_input) == 400);
  CHECK(http_status(ErrorCode::permission) == 403);
  CHECK(http_status(ErrorCode::not_found) == 404);
  CHECK(http_status(ErrorCode::conflict) == 409);
  CHECK(http_status(ErrorCode::limit) == 413);
  CHECK(http_status(ErrorCode::unsupported) == 422);
  CHECK(http_status(ErrorCode::internal) == 500);
  CHECK(http_status(ErrorCode::unavailable) == 503);
  CHECK(http_status(ErrorCode::timeout) == 504);
  const Answer answer = error_answer(std::make_exception_ptr(Error(ErrorCode::conflict, "cannot a on b: c", "do d")));
  CHECK(json::parse(answer.body, "answer") ==
        json::value{{"error", {{"code", "conflict"}, {"message", "cannot a on b: c"}, {"remedy", "do d"}}}});
  CHECK(error_answer(std::make_exception_ptr(std::runtime_error("x"))).status == 500);
  CHECK(error_answer(std::make_exception_ptr(3)).status == 500);
}
