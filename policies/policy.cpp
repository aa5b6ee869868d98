#include "policies/policy.h"

#include "policies/reader.h"
#include "runtime/base/digest.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace kiln::policies {
namespace {

constexpr std::size_t kLimitBytes = 1u << 20;

// What single keys cannot say: settings that exclude each other.
void check_contradictions(const Policy& p, const Reader& reader) {
  if (p.automatic && p.confidence < 0.9)
    reader.fail("promotion.automatic",
                "automatic promotion needs a confidence of at least 0.9, not " + std::to_string(p.confidence));
  if (p.seconds < p.build_timeout_seconds)
    reader.fail("budget.seconds", "the whole budget is shorter than one build may take (budget.build_timeout_seconds)");
  if (!p.vendor && !p.families.empty()) {
    bool own = false;
    for (const std::string& family : p.families) own |= family != "onednn";
    if (!own) reader.fail("search.vendor", "vendor libraries are forbidden, and search.families allows nothing else");
  }
  if (p.margin > 0.5)
    reader.fail("promotion.margin",
                "a margin above 0.5 rejects everything but a doubling; it is a fraction, not per cent");
}

}  // namespace

Policy parse_policy(std::string_view toml, std::string_view file_name) {
  if (toml.size() > kLimitBytes)
    throw Error(ErrorCode::limit, "cannot load policy '" + std::string(file_name) + "': it is larger than 1 MiB");
  Reader reader(toml, file_name);
  Policy p;
  p.version = static_cast<std::int32_t>(reader.integer("version", 1, 1, 1));
  p.name = reader.text("name", "unnamed");
  if (const std::string wanted = reader.text("objective.minimize", "latency"); wanted == "energy")
    reader.fail("objective.minimize",
                "\"energy\" cannot be compared: no worker reads a counter of energy (RAPL counts a whole package once "
                "a millisecond, and for root alone); this version has \"latency\"");
  p.objective = reader.choice("objective.minimize", "latency", {"latency"});
  p.precision = reader.choice("precision.class", "preserve", {"preserve"});
  p.error_factor = reader.number("precision.error_factor", p.error_factor, 1.0, 100.0);
  p.automatic = reader.boolean("promotion.automatic", p.automatic);
  p.margin = reader.number("promotion.margin", p.margin, 0.0, 0.99);
  p.confidence = reader.number("promotion.confidence", p.confidence, 0.5, 0.9999);
  p.confirm_samples =
      static_cast<std::int32_t>(reader.integer("promotion.confirm_samples", p.confirm_samples, 8, 10'000));
  p.families = reader.texts("search.families");
  p.vendor = reader.boolean("search.vendor", p.vendor);
  p.max_candidates_per_region = static_cast<std::int32_t>(
      reader.integer("search.max_candidates_per_region", p.max_candidates_per_region, 1, 100'000));
  p.stop_at_floor_fraction = reader.number("search.stop_at_floor_fraction", p.stop_at_floor_fraction, 0.1, 1.0);
  p.cold_cache = reader.choice("measuring.cache", "warm", {"warm", "cold"}) == "cold";
  p.algebraic = reader.boolean("rewrites.algebraic", p.algebraic);
  if (p.algebraic) reader.fail("rewrites.algebraic", "this version has no algebraic rewrites to allow");
  p.seconds = reader.integer("budget.seconds", p.seconds, 1, 7 * 86'400);
  p.build_timeout_seconds = reader.integer("budget.build_timeout_seconds", p.build_timeout_seconds, 1, 3'600);
  p.run_timeout_seconds = reader.integer("budget.run_timeout_seconds", p.run_timeout_seconds, 1, 3'600);
  p.threads = static_cast<std::int32_t>(reader.integer("device.threads", p.threads, 0, 4'096));
  reader.refuse_unknown_keys();
  check_contradictions(p, reader);
  p.text = toml;
  p.digest = sha256_hex(toml);
  return p;
}

Policy load_policy(const std::filesystem::path& file) {
  return parse_policy(read_file(file, kLimitBytes), file.string());
}

json::object to_json(const Policy& p) {
  return {{"version", p.version},
          {"name", p.name},
          {"digest", p.digest},
          {"objective", json::object{{"minimize", p.objective}}},
          {"precision", json::object{{"class", p.precision}, {"error_factor", p.error_factor}}},
          {"promotion", json::object{{"automatic", p.automatic}, {"margin", p.margin}, {"confidence", p.confidence},
                                     {"confirm_samples", p.confirm_samples}}},
          {"search", json::object{{"families", json::to_array(p.families)}, {"vendor", p.vendor},
                                  {"max_candidates_per_region", p.max_candidates_per_region},
                                  {"stop_at_floor_fraction", p.stop_at_floor_fraction}}},
          {"measuring", json::object{{"cache", p.cold_cache ? "cold" : "warm"}}},
          {"rewrites", json::object{{"algebraic", p.algebraic}}},
          {"budget", json::object{{"seconds", p.seconds}, {"build_timeout_seconds", p.build_timeout_seconds},
                                  {"run_timeout_seconds", p.run_timeout_seconds}}},
          {"device", json::object{{"threads", p.threads}}}};
}

json::array diff(const Policy& from, const Policy& to) {
  json::array out;
  const json::object a = to_json(from), b = to_json(to);
  const auto compare = [&](const std::string& key, const json::value& x, const json::value& y) {
    if (x != y) out.emplace_back(json::object{{"key", key}, {"from", x}, {"to", y}});
  };
  for (const auto& section : a) {
    const std::string key(section.key());
    if (key == "digest") continue;
    if (const json::object* members = section.value().if_object()) {
      for (const auto& member : *members)
        compare(key + "." + std::string(member.key()), member.value(),
                b.at(section.key()).as_object().at(member.key()));
    } else {
      compare(key, section.value(), b.at(section.key()));
    }
  }
  return out;
}

}  // namespace kiln::policies
