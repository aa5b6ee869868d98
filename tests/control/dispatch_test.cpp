#include "daemon/control/dispatch.h"

#include <doctest/doctest.h>

#include <optional>

#include "tests/control/world.h"

using namespace kiln;
using namespace kiln::control;

namespace {

Answer ask(testing::World& world, Context& context, Role role, const std::string& method, const std::string& target,
           const std::string& body = {}) {
  (void)world;
  Request request;
  request.method = method;
  parse_target(target, request);
  request.peer.uid = 4321;
  request.role = role;
  Admission admission = admit(context, request, static_cast<std::int64_t>(body.size()));
  if (!admission.granted) {
    if (admission.route != nullptr) audit(context, *admission.route, request, admission.refusal);
    return admission.refusal;
  }
  request.body = body;
  std::optional<Answer> answer;
  perform(context, *admission.route, request, [&](Answer a) { answer = std::move(a); });
  REQUIRE(answer);
  return *answer;
}

}  // namespace

TEST_CASE("a mutating call leaves one audit record, refused or not; a reading one leaves none") {
  testing::World world;
  Context context(world.services());
  const std::int64_t entries = world.store->ledger_head().size;
  CHECK(ask(world, context, Role::viewer, "GET", "/v1/jobs").status == 200);
  CHECK(world.store->audit(-1, 100).empty());
  CHECK(ask(world, context, Role::viewer, "POST", "/v1/jobs", "{\"workload\":\"minilm\"}").status == 403);
  CHECK(ask(world, context, Role::operate, "POST", "/v1/jobs", "{\"workload\":\"minilm\"}").status == 201);
  CHECK(ask(world, context, Role::operate, "POST", "/v1/jobs", "{}").status == 400);
  CHECK(ask(world, context, Role::admin, "POST", "/v1/releases/" + world.baseline + "/promote").status == 200);
  const std::vector<store::AuditRow> rows = world.store->audit(-1, 100);
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].status == 403);
  CHECK(rows[0].role == "viewer");
  CHECK(rows[0].uid == 4321);
  CHECK(rows[0].action == "POST /v1/jobs");
  CHECK(rows[1].object == "j-2");
  CHECK(rows[1].status == 201);
  CHECK(rows[2].status == 400);
  CHECK(rows[3].object == world.baseline);
  CHECK(world.store->ledger_head().size >= entries + 4);
}

TEST_CASE("promotion and rollback are told as events with the caller") {
  testing::World world;
  Context context(world.services());
  CHECK(ask(world, context, Role::admin, "POST", "/v1/workloads/minilm/rollback").status == 200);
  CHECK(ask(world, context, Role::admin, "POST", "/v1/releases/" + world.tuned + "/promote", "{}").status == 200);
  const std::vector<store::Event> events = world.store->events_after(3, 10);
  REQUIRE(events.size() == 2);
  CHECK(events[0].kind == "release.rolled_back");
  CHECK(events[0].subject == world.baseline);
  CHECK(events[1].kind == "release.promoted");
  CHECK(events[1].detail.at("by") == "uid 4321");
}

TEST_CASE("a release that was not found faster is promoted by force only, and the record says so") {
  testing::World world;
  Context context(world.services());
  const std::string target = "/v1/releases/" + world.slower + "/promote";
  const Answer refused = ask(world, context, Role::admin, "POST", target);
  CHECK(refused.status == 409);
  CHECK(refused.body.find("its job found it slower: kept the incumbent") != std::string::npos);
  CHECK(world.store->release(world.tuned).current);
  CHECK(world.store->events_after(3, 10).empty());
  CHECK(ask(world, context, Role::admin, "POST", target, "{\"force\":true}").status == 200);
  CHECK(world.store->release(world.slower).current);
  CHECK(ask(world, context, Role::admin, "POST", target).status == 200);  // it is current: nothing to do
  CHECK(ask(world, context, Role::admin, "POST", "/v1/releases/" + world.baseline + "/promote").status == 200);
  const std::vector<store::Event> events = world.store->events_after(3, 10);
  REQUIRE(events.size() == 3);
  CHECK(events[0].detail.at("verdict") == "slower");
  CHECK(events[2].detail.at("verdict") == "none");
  const std::vector<store::AuditRow> rows = world.store->audit(-1, 100);
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].status == 409);
  CHECK(rows[1].object == world.slower + " force");
}

TEST_CASE("a request reaches the seam as it was meant") {
  testing::World world;
  Context context(world.services());
  CHECK(ask(world, context, Role::operate, "POST", "/v1/jobs",
            R"({"workload":"minilm","policy_text":"version = 1","budget_seconds":30,"seed":9})").status == 201);
  CHECK(world.jobs->last.workload == "minilm");
  CHECK(world.jobs->last.policy_text == "version = 1");
  CHECK(world.jobs->last.budget_seconds == 30);
  CHECK(world.jobs->last.seed == 9);
  const std::string model = world.store->put_blob("needs weights.bin");
  const std::string weights = world.store->put_blob("weights");
  CHECK(ask(world, context, Role::operate, "POST", "/v1/workloads",
            R"({"name":"n","model":")" + model + R"(","external":{"weights.bin":")" + weights +
                R"("},"dimensions":{"batch":8}})")
            .status == 201);
  CHECK(world.importer->last.external == std::map<std::string, std::string>{{"weights.bin", weights}});
  CHECK(world.importer->last.dimensions == std::map<std::string, std::int64_t>{{"batch", 8}});
  CHECK(world.importer->last.file_name == "model.onnx");
}

TEST_CASE("what the head alone forbids is refused before a body is read") {
  testing::World world;
  Context context(world.services());
  context.blob_limit_bytes = 1000;
  const auto status = [&](const std::string& method, const std::string& path, std::int64_t bytes) {
    Request request;
    request.method = method;
    request.path = path;
    request.role = Role::admin;
    const Admission admission = admit(context, request, bytes);
    return admission.granted ? 0u : admission.refusal.status;
  };
  CHECK(status("POST", "/v1/blobs", 1000) == 0);
  CHECK(status("POST", "/v1/blobs", 1001) == 413);
  CHECK(status("POST", "/v1/jobs", 1 << 20) == 0);
  CHECK(status("POST", "/v1/jobs", (1 << 20) + 1) == 413);
  CHECK(status("GET", "/v1/jobs", 1) == 413);
  CHECK(status("POST", "/v1/jobs/j-1/cancel", 65) == 413);
  CHECK(status("GET", "/v1/jobs/j-1/cancel", 0) == 405);
}
