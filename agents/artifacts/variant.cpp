#include "agents/artifacts/variant.h"

#include "agents/artifacts/members.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace fields {

template <>
struct Members<Variant> {
  static constexpr std::string_view what = "variant";
  static void visit(auto& io, auto& v) {
    io("region", v.region);
    io("family", v.family);
    io("template", v.template_name);
    io("template_digest", v.template_digest);
    io("tunables", v.tunables);
  }
};

}  // namespace fields

json::object to_json(const Variant& v) { return fields::write(v); }
Variant variant_from_json(const json::value& v) { return fields::read<Variant>(v); }

std::string digest_of(const Variant& v) { return sha256_hex(json::canonical(to_json(v))); }

std::string to_string(const Variant& v) {
  std::string text = v.family + "/" + v.template_name;
  for (const auto& [tunable, value] : v.tunables) text += " " + tunable + "=" + std::to_string(value);
  return text;
}

}  // namespace kiln::agents
