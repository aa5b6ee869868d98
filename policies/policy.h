// What is allowed: one TOML file, validated whole; a policy that contradicts itself is refused. Its digest is in every
// job.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/json_fwd.h"

namespace kiln::policies {

// What search.forbidden may name. agents/writer/constructs.h says how each is found in a kernel.
inline constexpr std::string_view kConstructs[] = {
    "inline-assembly", "intrinsics", "non-temporal-stores", "fast-math", "avx2", "avx512", "amx", "vendor-libraries"};

struct Policy {
  std::int32_t version = 1;
  std::string name;  // "default"

  // [objective]
  // "latency": of one call, alone. "throughput": results per second while the whole device serves. "energy": of a call,
  // on a node with a counter of it. docs/measuring.md has what a sample of each is.
  std::string objective = "latency";

  // [precision]
  std::string precision =
      "preserve";  // error at most `error_factor` times that of a plain evaluation in the model's type
  double error_factor = 2.0;
  double quality_bar = 2.0;  // the same of a release's outputs as a whole; at most error_factor

  // [promotion]
  bool automatic = false;         // promote a faster release without an operator
  double margin = 0.01;           // least gain in what the objective measures, as a fraction
  double confidence = 0.95;
  std::int32_t confirm_samples = 32;

  // [search]
  std::vector<std::string> families;         // empty: all of the corpus
  bool vendor = true;                        // vendor libraries may be candidates
  std::vector<std::string> forbidden;        // of kConstructs: what no candidate's source may have
  std::int32_t max_candidates_per_region = 64;
  double stop_at_floor_fraction = 0.95;      // region is done when floor / measured reaches this

  // [measuring] cache = "warm" | "cold"
  // warm: a launch finds its activations where the launch before left them, as in a serving loop; cold: at least twice
  // the last-level cache is flushed before each sample.
  bool cold_cache = false;

  // [rewrites]
  bool algebraic = false;  // rewrites that change cost, not only form
  bool integers = true;    // rewrites that sum quantised products in integers where the model dequantises first

  // [budget]
  std::int64_t seconds = 600;
  std::int64_t build_timeout_seconds = 30;
  std::int64_t run_timeout_seconds = 20;
  double energy_joules = 0;  // that the node may use until the search ends; 0: as much as it does

  // [device]
  std::int32_t threads = 0;  // 0: all cores of its share
  double share = 1.0;        // of the usable cores: all that a job's workers, compilers too, run on

  std::string text;    // as loaded
  std::string digest;  // SHA-256 of text
};

// Whether candidates may come from a template: search.families names its family, "matmul", or itself, "matmul/packed",
// or nothing; a vendor's is allowed by search.vendor and search.forbidden.
[[nodiscard]] bool allows(const Policy& policy, const std::string& family, const std::string& name, bool vendor);

// `file_name` is for messages: "cannot load policy 'x.toml': line 4, column 3: unknown key 'search.famlies'; ...".
[[nodiscard]] Policy parse_policy(std::string_view toml, std::string_view file_name);
[[nodiscard]] Policy load_policy(const std::filesystem::path& file);
[[nodiscard]] json::object to_json(const Policy& policy);
// Key by key: [{"key": "budget.seconds", "from": 600, "to": 60}].
[[nodiscard]] json::array diff(const Policy& from, const Policy& to);

}  // namespace kiln::policies
