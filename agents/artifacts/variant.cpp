#include "agents/artifacts/variant.h"

#include "runtime/base/digest.h"

namespace kiln::agents {

json::object to_json(const Variant& v) {
  json::object tunables;
  for (const auto& [tunable, value] : v.tunables) tunables[tunable] = value;
  return {{"region", v.region},
          {"family", v.family},
          {"template", v.template_name},
          {"template_digest", v.template_digest},
          {"tunables", std::move(tunables)}};
}

Variant variant_from_json(const json::value& v) {
  constexpr std::string_view what = "variant";
  const json::object& o = json::as_object(v, what);
  Variant out;
  out.region = json::get_string(o, "region", what);
  out.family = json::get_string(o, "family", what);
  out.template_name = json::get_string(o, "template", what);
  out.template_digest = json::get_string(o, "template_digest", what);
  const json::object& tunables = json::as_object(json::at(o, "tunables", what), "tunables of a variant");
  for (const auto& member : tunables)
    out.tunables[std::string(member.key())] = json::get_int(tunables, member.key(), "tunables of a variant");
  return out;
}

std::string digest_of(const Variant& v) { return sha256_hex(json::canonical(to_json(v))); }

std::string to_string(const Variant& v) {
  std::string text = v.family + "/" + v.template_name;
  for (const auto& [tunable, value] : v.tunables) text += " " + tunable + "=" + std::to_string(value);
  return text;
}

}  // namespace kiln::agents
