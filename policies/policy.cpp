#include "policies/policy.h"

#include <algorithm>

#include "policies/reader.h"
#include "runtime/base/digest.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace kiln::policies {
namespace {

constexpr std::size_t kLimitBytes = 1u << 20;

// "matmul/onednn": templates that wrap a vendor's library have its name.
bool only_vendors(const std::vector<std::string>& families) {
  return !families.empty() && std::all_of(families.begin(), families.end(), [](const std::string& entry) {
    const std::size_t slash = entry.find('/');
    return slash != std::string::npos && entry.substr(slash + 1) == "onednn";
  });
}

bool forbids_libraries(const Policy& p) {
  return std::find(p.forbidden.begin(), p.forbidden.end(), "vendor-libraries") != p.forbidden.end();
}

// What single keys cannot say: settings that exclude each other.
void check_contradictions(const Policy& p, const Reader& reader) {
  if (p.automatic && p.confidence < 0.9)
    reader.fail("promotion.automatic",
                "automatic promotion needs a confidence of at least 0.9, not " + std::to_string(p.confidence));
  if (p.seconds < p.build_timeout_seconds)
    reader.fail("budget.seconds", "the whole budget is shorter than one build may take (budget.build_timeout_seconds)");
  if ((!p.vendor || forbids_libraries(p)) && only_vendors(p.families))
    reader.fail(p.vendor ? "search.forbidden" : "search.vendor",
                "vendor libraries are forbidden, and search.families allows nothing else");
  if (p.cold_cache && p.objective != "latency")
    reader.fail("measuring.cache", "calls that follow each other find the caches as the one before left them: only "
                                   "\"latency\" is measured cold");
  if (p.quality_bar > p.error_factor)
    reader.fail("precision.quality_bar",
                "it is looser than precision.error_factor, to which every kernel of the release is held");
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
  p.objective = reader.choice("objective.minimize", "latency", {"latency", "throughput", "energy"});
  p.precision = reader.choice("precision.class", "preserve", {"preserve"});
  p.error_factor = reader.number("precision.error_factor", p.error_factor, 1.0, 100.0);
  p.quality_bar = reader.number("precision.quality_bar", p.error_factor, 1.0, 100.0);
  p.automatic = reader.boolean("promotion.automatic", p.automatic);
  p.margin = reader.number("promotion.margin", p.margin, 0.0, 0.99);
  p.confidence = reader.number("promotion.confidence", p.confidence, 0.5, 0.9999);
  p.confirm_samples =
      static_cast<std::int32_t>(reader.integer("promotion.confirm_samples", p.confirm_samples, 8, 10'000));
  p.families = reader.texts("search.families");
  p.vendor = reader.boolean("search.vendor", p.vendor);
  p.forbidden = reader.texts_among("search.forbidden", kConstructs);
  p.max_candidates_per_region = static_cast<std::int32_t>(
      reader.integer("search.max_candidates_per_region", p.max_candidates_per_region, 1, 100'000));
  p.stop_at_floor_fraction = reader.number("search.stop_at_floor_fraction", p.stop_at_floor_fraction, 0.1, 1.0);
  p.cold_cache = reader.choice("measuring.cache", "warm", {"warm", "cold"}) == "cold";
  p.algebraic = reader.boolean("rewrites.algebraic", p.algebraic);
  p.integers = reader.boolean("rewrites.integers", p.integers);
  p.seconds = reader.integer("budget.seconds", p.seconds, 1, 7 * 86'400);
  p.build_timeout_seconds = reader.integer("budget.build_timeout_seconds", p.build_timeout_seconds, 1, 3'600);
  p.run_timeout_seconds = reader.integer("budget.run_timeout_seconds", p.run_timeout_seconds, 1, 3'600);
  p.energy_joules = reader.number("budget.energy_joules", p.energy_joules, 0, 1e12);
  p.threads = static_cast<std::int32_t>(reader.integer("device.threads", p.threads, 0, 4'096));
  p.share = reader.number("device.share", p.share, 0.01, 1.0);
  reader.refuse_unknown_keys();
  check_contradictions(p, reader);
  p.text = toml;
  p.digest = sha256_hex(toml);
  return p;
}

bool allows(const Policy& policy, const std::string& family, const std::string& name, bool vendor) {
  const auto lists = [&](const std::string& entry) { return entry == family || entry == family + "/" + name; };
  return (policy.families.empty() || std::any_of(policy.families.begin(), policy.families.end(), lists)) &&
         (!vendor || (policy.vendor && !forbids_libraries(policy)));
}

Policy load_policy(const std::filesystem::path& file) {
  return parse_policy(read_file(file, kLimitBytes), file.string());
}

json::object to_json(const Policy& p) {
  return {{"version", p.version},
          {"name", p.name},
          {"digest", p.digest},
          {"objective", json::object{{"minimize", p.objective}}},
          {"precision", json::object{{"class", p.precision}, {"error_factor", p.error_factor},
                                     {"quality_bar", p.quality_bar}}},
          {"promotion", json::object{{"automatic", p.automatic}, {"margin", p.margin}, {"confidence", p.confidence},
                                     {"confirm_samples", p.confirm_samples}}},
          {"search", json::object{{"families", json::to_array(p.families)}, {"vendor", p.vendor},
                                  {"forbidden", json::to_array(p.forbidden)},
                                  {"max_candidates_per_region", p.max_candidates_per_region},
                                  {"stop_at_floor_fraction", p.stop_at_floor_fraction}}},
          {"measuring", json::object{{"cache", p.cold_cache ? "cold" : "warm"}}},
          {"rewrites", json::object{{"algebraic", p.algebraic}, {"integers", p.integers}}},
          {"budget", json::object{{"seconds", p.seconds}, {"build_timeout_seconds", p.build_timeout_seconds},
                                  {"run_timeout_seconds", p.run_timeout_seconds},
                                  {"energy_joules", p.energy_joules}}},
          {"device", json::object{{"threads", p.threads}, {"share", p.share}}}};
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
