#include "daemon/worker/build_recipe.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::worker {

using agents::BuildFact;
using agents::BuildRequest;

std::string recipe_of(const BuildRequest& request, bool allow_spills, const std::string& toolchain) {
  const agents::RenderedKernel& kernel = request.kernel;
  return sha256_hex(json::canonical(json::object{{"format", "kiln-recipe/1"},
                                                 {"file_name", kernel.file_name},
                                                 {"source", kernel.source},
                                                 {"flags", json::to_array(kernel.compile_flags)},
                                                 {"libraries", json::to_array(kernel.libraries)},
                                                 {"architecture", kernel.architecture},
                                                 {"allow_spills", allow_spills},
                                                 {"toolchain", toolchain}}));
}

KnownObject known_object(const std::string& architecture, const BuildFact& fact, std::string_view object) {
  BuildFact kept = fact;
  kept.object.clear();  // of the store that has it
  kept.recipe.clear();
  kept.origin.clear();
  return {json::canonical(json::object{{"architecture", architecture}, {"build", to_json(kept)}}),
          std::string(object)};
}

std::string architecture_of(const std::string& about) {
  return json::get_string(json::as_object(json::parse(about, "what is known of a code object"),
                                          "what is known of a code object"),
                          "architecture", "what is known of a code object");
}

std::optional<BuildFact> fact_of(const BuildRequest& request, const KnownObject& known) {
  try {
    const json::value parsed = json::parse(known.about, "what is known of a code object");
    const json::object& about = json::as_object(parsed, "what is known of a code object");
    if (json::get_string(about, "architecture", "what is known of a code object") != request.kernel.architecture)
      return std::nullopt;
    BuildFact fact = agents::build_fact_from_json(json::at(about, "build", "what is known of a code object"));
    if (fact.verdict != agents::Verdict::ok) return std::nullopt;
    fact.object_bytes = static_cast<std::int64_t>(known.object.size());
    fact.build_ns = 0;
    fact.origin = "cache";
    return fact;
  } catch (const Error&) {  // of another version of Kiln: it is built again
    return std::nullopt;
  }
}

}  // namespace kiln::worker
