#include "agents/artifacts/plan.h"

#include <algorithm>
#include <array>

#include "agents/artifacts/fields.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

constexpr std::string_view kFormat = "kiln-plan/1";
constexpr std::string_view kWhat = "plan";
constexpr std::array<std::string_view, 5> kKinds = {"input", "output", "constant", "prepared", "temporary"};

[[noreturn]] void refuse(const std::string& cause) {
  throw Error(ErrorCode::invalid_input, "cannot read plan: " + cause);
}

json::object to_json(const PlanTensor& t) {
  return {{"name", t.name},
          {"dtype", graph::name(t.type.dtype)},
          {"shape", json::to_array(t.type.shape)},
          {"buffer", t.buffer}};
}

PlanTensor tensor_from_json(const json::value& v) {
  const json::object& o = json::as_object(v, "tensor of a plan");
  PlanTensor t;
  t.name = json::get_string(o, "name", kWhat);
  t.type.dtype = graph::dtype_from_name(json::get_string(o, "dtype", kWhat));
  t.type.shape = json::get_ints(o, "shape", kWhat);
  t.buffer = fields::small_count(o, "buffer", kWhat);
  return t;
}

json::object to_json(const PlanBuffer& b) {
  return {{"kind", kKinds.at(static_cast<std::size_t>(b.kind))},
          {"bytes", b.bytes},
          {"offset", b.offset},
          {"index", b.index}};
}

PlanBuffer buffer_from_json(const json::value& v) {
  const json::object& o = json::as_object(v, "buffer of a plan");
  PlanBuffer b;
  const std::string kind = json::get_string(o, "kind", kWhat);
  std::size_t k = 0;
  while (k < kKinds.size() && kKinds[k] != kind) ++k;
  if (k == kKinds.size()) refuse("unknown kind of buffer '" + kind + "'");
  b.kind = static_cast<PlanBuffer::Kind>(k);
  b.bytes = fields::count(o, "bytes", kWhat);
  b.offset = fields::count(o, "offset", kWhat);
  b.index = fields::small_count(o, "index", kWhat);
  return b;
}

json::object to_json(const PlanLaunch& l) {
  json::object out{{"object", l.object},
                   {"symbol", l.symbol},
                   {"args", json::to_array(l.args)},
                   {"tasks", l.tasks},
                   {"scratch_bytes", l.scratch_bytes},
                   {"has_state", l.has_state},
                   {"instance", l.instance},
                   {"label", l.label}};
  if (l.scratch_offset) out["scratch_offset"] = *l.scratch_offset;
  if (l.library_bytes > 0) out["library_bytes"] = l.library_bytes;
  put_geometry(out, l.geometry);
  return out;
}

PlanLaunch launch_from_json(const json::value& v) {
  const json::object& o = json::as_object(v, "launch of a plan");
  PlanLaunch l;
  l.object = fields::small_count(o, "object", kWhat);
  l.symbol = json::get_string(o, "symbol", kWhat);
  for (const std::int64_t id : json::get_ints(o, "args", kWhat)) {
    if (id < 0 || id > INT32_MAX) refuse("an argument of '" + l.symbol + "' is no buffer");
    l.args.push_back(static_cast<std::int32_t>(id));
  }
  l.tasks = fields::count(o, "tasks", kWhat);
  l.scratch_bytes = fields::count(o, "scratch_bytes", kWhat);
  if (o.contains("scratch_offset")) l.scratch_offset = fields::count(o, "scratch_offset", kWhat);
  if (o.contains("library_bytes")) l.library_bytes = fields::count(o, "library_bytes", kWhat);
  l.has_state = json::get_bool(o, "has_state", kWhat);
  const std::int64_t instance = json::get_int(o, "instance", kWhat);
  if (instance < -1 || instance > INT32_MAX) refuse("the instance of '" + l.symbol + "' is out of range");
  l.instance = static_cast<std::int32_t>(instance);
  l.label = json::get_string(o, "label", kWhat);
  l.geometry = geometry_of(o, kWhat);
  return l;
}

template <class Items>
json::array list_json(const Items& items) {
  json::array out;
  for (const auto& item : items) out.emplace_back(to_json(item));
  return out;
}

// What every reader may rely on: ids name something, and windows lie inside their arenas.
void check(const Plan& p) {
  const auto is_buffer = [&](std::int32_t id) { return id >= 0 && static_cast<std::size_t>(id) < p.buffers.size(); };
  for (const auto* tensors : {&p.inputs, &p.outputs})
    for (const PlanTensor& t : *tensors)
      if (!is_buffer(t.buffer)) refuse("tensor '" + t.name + "' names no buffer");
  for (const auto* launches : {&p.prepare, &p.run}) {
    for (const PlanLaunch& l : *launches) {
      if (static_cast<std::size_t>(l.object) >= p.objects.size()) refuse("launch '" + l.symbol + "' names no object");
      for (const std::int32_t id : l.args)
        if (!is_buffer(id)) refuse("launch '" + l.symbol + "' names no buffer");
      if (!l.scratch_offset) continue;
      const std::int64_t room = p.temporary_bytes - *l.scratch_offset, threads = l.tasks > 1 ? p.threads : 1;
      if ((l.scratch_bytes + 63) / 64 * 64 > room / std::max<std::int64_t>(threads, 1))
        refuse("the scratch of launch '" + l.symbol + "' reaches past the temporaries");
    }
  }
  for (const PlanBuffer& b : p.buffers) {
    const auto index = static_cast<std::size_t>(b.index);
    std::int64_t arena = INT64_MAX;
    switch (b.kind) {
      case PlanBuffer::Kind::input:
        if (index >= p.inputs.size()) refuse("an input buffer names no input");
        break;
      case PlanBuffer::Kind::output:
        if (index >= p.outputs.size()) refuse("an output buffer names no output");
        break;
      case PlanBuffer::Kind::constant: arena = p.constants_bytes; break;
      case PlanBuffer::Kind::prepared: arena = p.prepared_bytes; break;
      case PlanBuffer::Kind::temporary: arena = p.temporary_bytes; break;
    }
    if (b.offset > arena - b.bytes) refuse("a buffer reaches past its arena");
  }
}

}  // namespace

std::string object_path(const std::string& target, const std::string& digest) {
  return "objects/" + digest + (target == "cpu" ? ".so" : ".cubin");
}

json::object to_json(const Plan& plan) {
  json::object out{{"format", kFormat},
          {"name", plan.name},
          {"target", plan.target},
          {"cpu_features", json::to_array(plan.cpu_features)},
          {"threads", plan.threads},
          {"inputs", list_json(plan.inputs)},
          {"outputs", list_json(plan.outputs)},
          {"buffers", list_json(plan.buffers)},
          {"objects", json::to_array(plan.objects)},
          {"constants", plan.constants},
          {"constants_bytes", plan.constants_bytes},
          {"prepared_bytes", plan.prepared_bytes},
          {"temporary_bytes", plan.temporary_bytes},
          {"prepare", list_json(plan.prepare)},
          {"run", list_json(plan.run)}};
  if (!plan.architecture.empty()) out["architecture"] = plan.architecture;
  return out;
}

Plan plan_from_json(const json::value& v) {
  const json::object& o = json::as_object(v, kWhat);
  if (const std::string format = json::get_string(o, "format", kWhat); format != kFormat)
    throw Error(ErrorCode::unsupported, "cannot read plan: format '" + format + "' is not " + std::string(kFormat));
  Plan p;
  p.name = json::get_string(o, "name", kWhat);
  p.target = json::get_string(o, "target", kWhat);
  p.architecture = json::find_string(o, "architecture", kWhat).value_or("");
  p.cpu_features = json::get_strings(o, "cpu_features", kWhat);
  p.threads = fields::small_count(o, "threads", kWhat);
  p.inputs = fields::list(o, "inputs", kWhat, tensor_from_json);
  p.outputs = fields::list(o, "outputs", kWhat, tensor_from_json);
  p.buffers = fields::list(o, "buffers", kWhat, buffer_from_json);
  p.objects = json::get_strings(o, "objects", kWhat);
  p.constants = json::get_string(o, "constants", kWhat);
  p.constants_bytes = fields::count(o, "constants_bytes", kWhat);
  p.prepared_bytes = fields::count(o, "prepared_bytes", kWhat);
  p.temporary_bytes = fields::count(o, "temporary_bytes", kWhat);
  p.prepare = fields::list(o, "prepare", kWhat, launch_from_json);
  p.run = fields::list(o, "run", kWhat, launch_from_json);
  check(p);
  return p;
}

}  // namespace kiln::agents
