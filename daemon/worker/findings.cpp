#include "daemon/worker/findings.h"

#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

constexpr const char* kWhat = "a judgement";

json::array pair(const OutputElement& at) { return {at.output, at.element}; }

OutputElement element_of(const json::object& o, const char* key) {
  const json::array& both = json::as_array(json::at(o, key, kWhat), "an element");
  return {both.at(0).to_number<std::int64_t>(), both.at(1).to_number<std::int64_t>()};
}

}  // namespace

ArenaLayout Question::layout() const {
  std::vector<graph::TensorType> inputs, outputs;
  for (const graph::ValueId id : graph.inputs) inputs.push_back(graph.type(id));
  for (const graph::ValueId id : graph.outputs) outputs.push_back(graph.type(id));
  return layout_arena(inputs, outputs, edge);
}

std::string overwritten(const Findings& findings) {
  if (findings.guard >= 0) return "a guard byte at offset " + std::to_string(findings.guard) + " was overwritten";
  if (findings.input >= 0) return "input " + std::to_string(findings.input) + " was changed";
  return {};
}

json::object to_json(const Findings& findings) {
  agents::CheckFact fact;
  fact.errors = findings.errors;
  return {{"guard", findings.guard},
          {"input", findings.input},
          {"unstable", findings.unstable},
          {"unwritten", pair(findings.unwritten)},
          {"undoubled", pair(findings.undoubled)},
          {"digest", findings.digest},
          {"expected_digest", findings.expected_digest},
          {"errors", agents::to_json(fact).at("errors")},
          {"evaluator", findings.evaluator}};
}

Findings findings_from_json(const json::object& o) {
  Findings out;
  out.guard = json::get_int(o, "guard", kWhat);
  out.input = json::get_int(o, "input", kWhat);
  out.unstable = json::get_bool(o, "unstable", kWhat);
  out.unwritten = element_of(o, "unwritten");
  out.undoubled = element_of(o, "undoubled");
  out.digest = json::get_string(o, "digest", kWhat);
  out.expected_digest = json::get_string(o, "expected_digest", kWhat);
  const json::object fact{
      {"verdict", "ok"}, {"evidence", ""}, {"errors", json::at(o, "errors", kWhat)}, {"input_sensitive", true}};
  out.errors = agents::check_fact_from_json(fact).errors;
  out.evaluator = json::get_string(o, "evaluator", kWhat);
  return out;
}

}  // namespace kiln::worker
