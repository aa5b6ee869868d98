#include "policies/policy.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "runtime/base/digest.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

using namespace kiln;
using policies::parse_policy;

namespace {
std::string shipped(const char* name) { return read_file(std::filesystem::path(KILN_SOURCE_DIR) / "policies" / name); }

std::string message(const std::string& toml) {
  try {
    (void)parse_policy(toml, "p.toml");
    return "accepted";
  } catch (const Error& error) {
    return error.what();
  }
}
}  // namespace

TEST_CASE("the shipped policies load, and say what their text says") {
  for (const char* name : {"default.toml", "strict.toml", "explore.toml"})
    CHECK_NOTHROW((void)parse_policy(shipped(name), name));
  CHECK(parse_policy(shipped("strict.toml"), "s").cold_cache);
  CHECK_FALSE(parse_policy(shipped("strict.toml"), "s").vendor);
  CHECK(parse_policy(shipped("explore.toml"), "e").automatic);
  CHECK(parse_policy(shipped("default.toml"), "d").digest == sha256_hex(shipped("default.toml")));
}

TEST_CASE("default.toml and an empty policy agree, so that the file documents the defaults") {
  const json::array changes =
      policies::diff(parse_policy("", "empty"), parse_policy(shipped("default.toml"), "default"));
  REQUIRE(changes.size() == 2);  // the name, and a longer limit for whole-model runs
  CHECK(changes.at(0).at("key") == "name");
  CHECK(changes.at(1).at("key") == "budget.run_timeout_seconds");
}

TEST_CASE("an unknown key is an error with its place and the nearest known key") {
  const std::string text = message("[search]\nvendor = true\nfamlies = []\n");
  CHECK(text.find("line 3, column 11") != std::string::npos);
  CHECK(text.find("unknown key 'search.famlies'; did you mean 'search.families'?") != std::string::npos);
  CHECK(message("colour = 1\n").find("unknown key 'colour'") != std::string::npos);
}

TEST_CASE("types and ranges are checked key by key") {
  CHECK(message("[promotion]\nconfidence = 1.5\n").find("promotion.confidence") != std::string::npos);
  CHECK(message("[promotion]\nconfidence = nan\n").find("promotion.confidence") != std::string::npos);
  CHECK(message("[budget]\nseconds = \"long\"\n").find("an integer is needed") != std::string::npos);
  CHECK(message("[search]\nfamilies = [1]\n").find("an array of strings") != std::string::npos);
  const std::string objectives = message("[objective]\nminimize = \"speed\"\n");
  CHECK(objectives.find("this version has \"latency\", \"throughput\", \"energy\"") != std::string::npos);
  CHECK(message("version = 2\n").find("outside 1 to 1") != std::string::npos);
}

TEST_CASE("a policy that contradicts itself is refused") {
  CHECK(message("[promotion]\nautomatic = true\nconfidence = 0.8\n").find("automatic promotion needs") !=
        std::string::npos);
  CHECK(message("[budget]\nseconds = 5\nbuild_timeout_seconds = 30\n").find("shorter than one build") !=
        std::string::npos);
  CHECK(message("[search]\nvendor = false\nfamilies = [\"matmul/onednn\"]\n").find("allows nothing else") !=
        std::string::npos);
}

TEST_CASE("objectives and the budget of energy are read, and calls that follow each other are not measured cold") {
  for (const std::string objective : {"latency", "throughput", "energy"}) {
    const std::string text = "[objective]\nminimize = \"" + objective + "\"\n";
    CHECK(parse_policy(text, "p").objective == objective);
    const std::string cold = message(text + "[measuring]\ncache = \"cold\"\n");
    CHECK((cold == "accepted") == (objective == "latency"));
    CHECK((cold.find("line 4, column 9: 'measuring.cache'") != std::string::npos) == (objective != "latency"));
  }
  CHECK(parse_policy("", "p").energy_joules == 0);
  CHECK(parse_policy("[budget]\nenergy_joules = 50\n", "p").energy_joules == 50);
  CHECK(message("[budget]\nenergy_joules = -1\n").find("'budget.energy_joules'") != std::string::npos);
}

TEST_CASE("the quality bar is error_factor unless it is tighter") {
  CHECK(parse_policy("[precision]\nerror_factor = 3.0\n", "p").quality_bar == 3.0);
  CHECK(parse_policy("[precision]\nquality_bar = 1.25\n", "p").quality_bar == 1.25);
  CHECK(message("[precision]\nerror_factor = 1.5\nquality_bar = 2.0\n").find("line 3, column 15") !=
        std::string::npos);
  CHECK(message("[precision]\nquality_bar = 0.5\n").find("outside 1") != std::string::npos);
}

TEST_CASE("forbidden constructs are of the list, each once") {
  CHECK(parse_policy("[search]\nforbidden = [\"amx\", \"intrinsics\"]\n", "p").forbidden.size() == 2);
  const std::string unknown = message("[search]\nforbidden = [\"goto\"]\n");
  CHECK(unknown.find("line 2, column 13: 'search.forbidden': \"goto\" is not known") != std::string::npos);
  CHECK(unknown.find("\"non-temporal-stores\"") != std::string::npos);
  CHECK(message("[search]\nforbidden = [\"amx\", \"amx\"]\n").find("is there twice") != std::string::npos);
  CHECK(message("[search]\nforbidden = [\"vendor-libraries\"]\nfamilies = [\"row/onednn\"]\n")
            .find("allows nothing else") != std::string::npos);
}

TEST_CASE("quantised products are integers unless a policy forbids it") {
  CHECK(parse_policy("", "p").integers);
  CHECK_FALSE(parse_policy("[rewrites]\nintegers = false\n", "p").integers);
}

TEST_CASE("algebraic rewrites are off unless a policy allows them") {
  CHECK_FALSE(parse_policy("", "p").algebraic);
  for (const char* name : {"default.toml", "strict.toml", "explore.toml"})
    CHECK_FALSE(parse_policy(shipped(name), name).algebraic);
  CHECK(parse_policy("[rewrites]\nalgebraic = true\n", "p").algebraic);
}

TEST_CASE("a share is of what there is") {
  CHECK(parse_policy("[device]\nshare = 0.5\n", "p").share == 0.5);
  for (const char* bad : {"0.0", "1.5", "-1.0", "nan", "\"half\""})
    CHECK(message(std::string("[device]\nshare = ") + bad + "\n").find("device.share") != std::string::npos);
}

TEST_CASE("templates are allowed by family, by name, and a vendor's by two keys") {
  const policies::Policy all = parse_policy("", "p");
  CHECK(policies::allows(all, "matmul", "onednn", true));
  CHECK_FALSE(policies::allows(parse_policy("[search]\nvendor = false\n", "p"), "matmul", "onednn", true));
  CHECK_FALSE(policies::allows(parse_policy("[search]\nforbidden = [\"vendor-libraries\"]\n", "p"), "matmul", "onednn",
                               true));
  const policies::Policy some = parse_policy("[search]\nfamilies = [\"row\", \"matmul/packed\"]\n", "p");
  CHECK(policies::allows(some, "row", "fused", false));
  CHECK(policies::allows(some, "matmul", "packed", false));
  CHECK_FALSE(policies::allows(some, "matmul", "direct", false));
  CHECK_FALSE(policies::allows(some, "gather", "rows", false));
}

TEST_CASE("text cut at every byte is refused or is a shorter policy, and never crashes") {
  const std::string whole = shipped("default.toml");
  int refused = 0;
  for (std::size_t n = 0; n < whole.size(); ++n) refused += message(whole.substr(0, n)) != "accepted";
  CHECK(refused > 100);
}

TEST_CASE("every key of this version is told apart by diff, and changes the digest") {
  for (const char* text :
       {"[precision]\nquality_bar = 1.5\n", "[search]\nforbidden = [\"amx\"]\n", "[device]\nshare = 0.5\n",
        "[search]\nfamilies = [\"row\"]\n", "[search]\nvendor = false\n",
        "[objective]\nminimize = \"energy\"\n", "[budget]\nenergy_joules = 5.5\n", "[measuring]\ncache = \"cold\"\n"}) {
    const policies::Policy changed = parse_policy(text, "b");
    CHECK_MESSAGE(policies::diff(parse_policy("", "a"), changed).size() == 1, text);
    CHECK(changed.digest != parse_policy("", "a").digest);
  }
}

TEST_CASE("two policies differ by key") {
  const json::array changes =
      policies::diff(parse_policy("[budget]\nseconds = 600\n", "a"), parse_policy("[budget]\nseconds = 60\n", "b"));
  REQUIRE(changes.size() == 1);
  CHECK(changes.at(0).at("key") == "budget.seconds");
  CHECK(changes.at(0).at("from") == 600);
  CHECK(changes.at(0).at("to") == 60);
}
