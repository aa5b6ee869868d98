#include "daemon/worker/oracle_client.h"

#include "daemon/worker/attempts.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

constexpr std::int64_t kOracleNs = 900 * kSecond;  // our own code: long, but not for ever

json::object to_json(const ArenaKey& key, const char* op) {
  return {{"op", op},         {"graph", key.graph},   {"family", key.family},
          {"seed", key.seed}, {"poison", key.poison}, {"at_end", key.edge == Edge::end}};
}

std::string overwritten(const json::object& judged) {
  const std::int64_t guard = json::get_int(judged, "guard", "a judgement");
  const std::int64_t input = json::get_int(judged, "input", "a judgement");
  if (guard >= 0) return "a guard byte at offset " + std::to_string(guard) + " was overwritten";
  if (input >= 0) return "input " + std::to_string(input) + " was changed";
  return {};
}

OutputElement element_of(const json::object& judged, const char* key) {
  const json::array& pair = json::as_array(json::at(judged, key, "a judgement"), "an element");
  return {pair.at(0).to_number<std::int64_t>(), pair.at(1).to_number<std::int64_t>()};
}

std::vector<agents::ErrorFact> errors_of(const json::object& judged) {
  const json::object fact{{"verdict", "ok"},
                          {"evidence", ""},
                          {"errors", json::at(judged, "errors", "a judgement")},
                          {"input_sensitive", true}};
  return agents::check_fact_from_json(fact).errors;
}

}  // namespace

OracleClient::OracleClient(Launch launch, const ObjectSource& objects, KernelsFor kernels_for)
    : launch_(std::move(launch)), objects_(objects), kernels_for_(std::move(kernels_for)) {}

WorkerProcess& OracleClient::worker() {
  if (!worker_ || !worker_->alive()) {
    worker_ = std::make_unique<WorkerProcess>(launch_);
    given_.clear();
  }
  return *worker_;
}

Frame OracleClient::ask(Frame& request) {
  return answered(worker().call(request, kOracleNs), "compute the expected outputs", "oracle");
}

void OracleClient::give_graph(const std::string& graph, const std::string& constants) {
  (void)worker();
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

OracleClient::Arena OracleClient::arena(const ArenaKey& key) {
  Frame request;
  request.body = to_json(key, "arena");
  Frame reply = ask(request);
  return {json::at(reply.body, "layout", "an arena"), std::move(reply.fds.at(0))};
}

Judgement OracleClient::judge(const ArenaKey& key, UniqueFd memory) {
  Frame request;
  request.body = to_json(key, "judge");
  request.fds.push_back(std::move(memory));
  const Frame reply = ask(request);
  evaluator_ = json::get_string(reply.body, "evaluator", "a judgement");
  return {overwritten(reply.body), json::get_string(reply.body, "digest", "a judgement"),
          json::get_string(reply.body, "expected_digest", "a judgement"), element_of(reply.body, "unwritten"),
          element_of(reply.body, "undoubled"), errors_of(reply.body)};
}

}  // namespace kiln::worker
