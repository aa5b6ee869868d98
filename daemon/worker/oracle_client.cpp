#include "daemon/worker/oracle_client.h"

#include <utility>

#include "daemon/worker/attempts.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

constexpr std::int64_t kOracleNs = 900 * kSecond;  // our own code: long, but not for ever

json::object to_json(const ArenaKey& key, const char* op) {
  return {{"op", op},         {"graph", key.graph},   {"family", key.family},
          {"seed", key.seed}, {"poison", key.poison}, {"at_end", key.edge == Edge::end}};
}

}  // namespace

OracleClient::OracleClient(Launch launch, const ObjectSource& objects, KernelsFor kernels_for)
    : launch_(std::move(launch)), objects_(objects), kernels_for_(std::move(kernels_for)) {}

WorkerProcess& OracleClient::worker() {
  if (!worker_ || !worker_->alive()) {
    worker_ = std::make_unique<WorkerProcess>(launch_);
    given_.clear();
    unjudged_ = 0;
  }
  return *worker_;
}

Frame OracleClient::ask(Frame& request) {
  return answered(worker().call(request, kOracleNs), "compute the expected outputs", "oracle");
}

void OracleClient::give_graph(const std::string& graph, const std::string& constants) {
  (void)worker();
  if (std::exchange(unjudged_, 0) > 0) {  // their calls did not come to an end
    Frame forget;
    forget.body = {{"op", "forget"}};
    (void)ask(forget);
  }
  if (given_ == graph) return;
  Frame frame;
  frame.body = {{"op", "graph"}, {"graph", graph}};
  frame.fds.push_back(open_object(objects_, graph));
  if (!constants.empty()) frame.fds.push_back(open_object(objects_, constants));
  const Frame reply = ask(frame);
  doubles_ = json::get_bool(reply.body, "doubles", "the oracle's reply");
  given_ = graph;
  const auto architecture = json::find_string(reply.body, "wants_kernels_for", "an oracle reply");
  if (!architecture) return;
  Frame kernels;
  kernels.body = {{"op", "kernels"}};
  kernels.fds.push_back(open_object(objects_, kernels_for_(*architecture)));
  (void)ask(kernels);
}

OracleClient::Arena OracleClient::arena(const ArenaKey& key, int calls) {
  Frame request;
  request.body = to_json(key, "arena");
  request.body["calls"] = calls;
  request.body["unshared"] = unshared_;
  Frame reply = ask(request);
  Arena arena{json::at(reply.body, "layout", "an arena"), nullptr, std::move(reply.fds.at(0))};
  if (const json::value* shared = reply.body.if_contains("shared")) {
    arena.shared = *shared;
    ++unjudged_;
  }
  return arena;
}

Findings OracleClient::judge(const ArenaKey& key, Arena arena) {
  Frame request;
  request.body = to_json(key, "judge");
  if (arena.shared.is_null()) {
    request.fds.push_back(std::move(arena.memory));
  } else {
    request.body["arena"] = json::get_int(json::as_object(arena.shared, "shared memory"), "id", "shared memory");
    --unjudged_;
  }
  const Frame reply = ask(request);
  if (const auto why = json::find_string(reply.body, "again", "a judgement")) throw Stopped{*why};
  Findings findings = findings_from_json(reply.body);
  evaluator_ = findings.evaluator;
  return findings;
}

}  // namespace kiln::worker
