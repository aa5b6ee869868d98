#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>

#include "agents/reporter/page.h"
#include "agents/reporter/reporter.h"
#include "runtime/base/json.h"
#include "tests/reporter/trace.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

const std::string kHostile = "</title><script>alert('x')</script><img src=\"http://evil/\" onerror='y'>&";

bool well_formed(const std::string& page, std::string& why) {
  const std::set<std::string> empty = {"meta", "br", "!DOCTYPE", "img", "line", "circle"};
  std::vector<std::string> open;
  for (std::size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    const std::size_t end = page.find('>', at);
    if (end == std::string::npos) return why = "an unclosed tag", false;
    std::string tag = page.substr(at + 1, end - at - 1);
    const bool closing = !tag.empty() && tag[0] == '/';
    const bool self = !tag.empty() && tag.back() == '/';
    const std::string name = tag.substr(closing ? 1 : 0, tag.find_first_of(" /\n", 1) - (closing ? 1 : 0));
    if (closing) {
      if (open.empty() || open.back() != name)
        return why = "</" + name + "> closes " + (open.empty() ? "nothing" : open.back()), false;
      open.pop_back();
    } else if (!self && (empty.count(name) == 0 || (name == "circle"))) {
      open.push_back(name);
    }
  }
  if (!open.empty()) why = open.back() + " is left open";
  return open.empty();
}

// Removes every member of a JSON value in turn, and calls `use` with the rest.
template <class Use>
void without_each(json::value& root, json::value& at, const std::string& place, Use use) {
  if (json::object* o = at.if_object()) {
    std::vector<std::string> keys;
    for (const auto& member : *o) keys.emplace_back(member.key());
    for (const std::string& key : keys) {
      json::value kept = o->at(key);
      o->erase(key);
      use(place + "." + key);
      (*o)[key] = "another type";
      use(place + "." + key);
      (*o)[key] = kept;
      without_each(root, (*o)[key], place + "." + key, use);
    }
  } else if (json::array* a = at.if_array(); a && !a->empty()) {
    without_each(root, a->front(), place + "[0]", use);
  }
}

}  // namespace

TEST_CASE("a report has every member of the format, and only those") {
  json::object trace = test::trace();
  trace["secret"] = "not in the format";
  const json::object r = report(trace);
  CHECK(json::get_string(r, "format", "r") == "kiln-report/1");
  for (const char* member :
       {"job", "workload", "policy", "corpus", "seed", "node", "profile", "plan", "totals", "regions", "whole",
        "decision", "releases", "timeline", "rewrites", "checkpoint", "versions"})
    CHECK(r.contains(member));
  CHECK(r.size() == 18);
}

TEST_CASE("how many kernels were built before the job stands in the report, which old traces do not say") {
  json::object trace = test::trace();
  CHECK_FALSE(report(trace).contains("objects"));
  trace["objects"] = json::object{{"built", 7}, {"from_cache", 35}};
  CHECK(report(trace).at("objects") == trace.at("objects"));
  CHECK(html(report(trace)).find("7 compiled for this job, 35 built before") != std::string::npos);
}

TEST_CASE("algebraic rewrites and their own gain stand apart, where there are any") {
  json::object trace = test::trace();
  CHECK_FALSE(report(trace).contains("algebraic"));
  CHECK(html(report(trace)).find("by algebra") == std::string::npos);
  trace["algebraic"] = json::object{};
  CHECK(html(report(trace)).find("by algebra") == std::string::npos);
  trace["algebraic"] = json::object{{"rewrites", json::array{"pool_of_pool: <pool>"}},
                                    {"speed_up", to_json(SpeedUp{1.25, 1.2, 1.3, Comparison::faster})}};
  const json::object r = report(trace);
  CHECK(r.at("algebraic").at("rewrites").as_array().size() == 1);
  CHECK(r.at("rewrites").as_array().size() == 1);  // what every import does, as before
  const std::string page = html(r);
  CHECK(page.find("Of it by algebra") != std::string::npos);
  CHECK(page.find("1.25") != std::string::npos);
  CHECK(page.find("pool_of_pool: &lt;pool&gt;") != std::string::npos);
  trace["algebraic"].as_object().erase("speed_up");
  CHECK_THROWS_AS((void)report(trace), Error);
}

TEST_CASE("the plans that took turns stand in the report and on the page, and what a region took in its plan") {
  json::object trace = test::trace();
  CHECK_FALSE(report(trace).contains("composition"));
  const json::object gain = to_json(SpeedUp{1.375, 1.3, 1.4, Comparison::faster});
  trace["composition"] = json::object{
      {"trials", json::array{json::object{
                     {"name", "without <matmul/x>"}, {"winners", 1}, {"speed_up", gain}, {"working_bytes", 4096}}}},
      {"chosen", "without <matmul/x>"}};
  json::object& region = trace["regions"].as_array()[0].as_object();
  region["in_place"] = json::object{{"incumbent_ns", 6e6}, {"winner_ns", 5e6}, {"speed_up", gain}};
  const json::object r = report(trace);
  CHECK(r.at("composition") == trace.at("composition"));
  CHECK(r.at("regions").as_array()[0].at("in_place") == region.at("in_place"));
  CHECK_FALSE(r.at("regions").as_array()[1].as_object().contains("in_place"));
  const std::string page = html(r);
  CHECK(page.find("without &lt;matmul/x&gt;") != std::string::npos);
  CHECK(page.find("1.375") != std::string::npos);
  CHECK(page.find("4096 bytes") != std::string::npos);
  CHECK(page.find("The tuned plan is 'without &lt;matmul/x&gt;'") != std::string::npos);
  region["in_place"].as_object().erase("winner_ns");
  CHECK_THROWS_AS((void)report(trace), Error);
}

TEST_CASE("totals count what is there") {
  const json::object totals = report(test::trace()).at("totals").as_object();
  CHECK(json::get_int(totals, "regions", "t") == 2);
  CHECK(json::get_int(totals, "regions_faster", "t") == 2);
  CHECK(json::get_int(totals, "candidates", "t") == 48);
  CHECK(json::get_int(totals.at("by_verdict").as_object(), "wrong", "t") == 6);  // 3, 10, 17 of each 24
  CHECK(json::get_int(totals, "diagnoses", "t") == 6);
}

TEST_CASE("regions that run the incumbent's kernels are counted, and the page says which and why") {
  json::object trace = test::trace();
  CHECK(json::get_int(report(trace).at("totals").as_object(), "regions_split", "t") == 0);
  CHECK(html(report(trace)).find("op by op: ") == std::string::npos);
  json::object& slower = trace["regions"].as_array()[0].as_object();
  slower["choice"] = to_json(RegionChoice{true, "its best candidate is <0.78x> of the incumbent's kernels"});
  json::object& left = trace["regions"].as_array()[1].as_object();
  left["choice"] = to_json(RegionChoice{true, "it was not searched: no budget was left"});
  left["candidates"] = json::array{};
  left["winner"].as_object()["variant"] = nullptr;
  const json::object r = report(trace);
  const json::object totals = r.at("totals").as_object();
  CHECK(json::get_int(totals, "regions_split", "t") == 2);
  CHECK(json::get_int(totals, "regions_unsearched", "t") == 1);
  const std::string page = html(r);
  CHECK(page.find("2 of 2 regions run the incumbent's kernels, op by op: 1 since") != std::string::npos);
  CHECK(page.find("its best candidate is &lt;0.78x&gt; of") != std::string::npos);
  CHECK(page.find("it was not searched: no budget was left") != std::string::npos);
  trace["regions"].as_array()[0].as_object().erase("choice");
  CHECK_THROWS_AS((void)report(trace), Error);
}

TEST_CASE("parts that were tried in a region's place stand in the report, are counted, and listed under its number") {
  json::object trace = test::trace();
  json::object& region = trace["regions"].as_array()[0].as_object();
  json::object part = trace["regions"].as_array()[1].as_object();
  part["label"] = "sum <of> rows";
  const json::value summary = region.at("winner").at("summary"), judgement = region.at("winner").at("judgement");
  const auto speed_up = [](double ratio) {
    return json::object{{"ratio", ratio}, {"low", ratio}, {"high", ratio}, {"comparison", "faster"}};
  };
  region["in_parts"] = json::object{{"measured", true},         {"reason", ""},
                                    {"summary", summary},       {"speed_up", speed_up(2.25)},
                                    {"judgement", judgement},   {"over_winner", speed_up(1.5)},
                                    {"regions", json::array{part}}};
  const json::object before = report(trace);
  CHECK(json::get_int(before.at("totals").as_object(), "regions_in_parts", "t") == 0);
  region["choice"] = to_json(RegionChoice{false, "in parts it is 2.25x of it", true});
  const json::object r = report(trace);
  CHECK(r.at("regions").as_array()[0].at("in_parts") == region.at("in_parts"));
  const json::object totals = r.at("totals").as_object();
  CHECK(json::get_int(totals, "regions", "t") == 2);
  CHECK(json::get_int(totals, "regions_in_parts", "t") == 1);
  CHECK(json::get_int(totals, "candidates", "t") == 72);  // 24 of each, the part among them
  const std::string page = html(r);
  CHECK(page.find("its parts, each by itself") != std::string::npos);
  CHECK(page.find("1.1. sum &lt;of&gt; rows: 24 candidates") != std::string::npos);
  CHECK(page.find("2.25x") != std::string::npos);
  region["in_parts"].as_object().erase("over_winner");
  CHECK_THROWS_AS((void)report(trace), Error);
}

TEST_CASE("a trace without a member, or with one of another type, gives a report or an Error that names the place") {
  json::value trace = test::trace();
  int refused = 0;
  without_each(trace, trace, "trace", [&](const std::string& place) {
    try {
      (void)statement(report(trace.as_object()));
    } catch (const Error& error) {
      ++refused;
      CHECK(error.code() == ErrorCode::invalid_input);
      INFO(place);
      CHECK(std::string(error.what()).find("cannot") == 0);
    }
  });
  CHECK(refused > 150);
}

TEST_CASE("required members are required") {
  for (const char* member : {"job", "workload", "policy", "node", "profile", "plan", "regions", "whole", "decision",
                             "releases", "timeline", "rewrites", "checkpoint", "versions"}) {
    json::object trace = test::trace();
    trace.erase(member);
    CHECK_THROWS_AS((void)report(trace), Error);
  }
  json::object trace = test::trace();
  trace["decision"].as_object()["comparison"] = "quicker";
  CHECK_THROWS_AS((void)report(trace), Error);
  trace = test::trace();
  trace["releases"].as_array()[0].as_object()["id"] = "ABC";
  CHECK_THROWS_AS((void)report(trace), Error);
}

TEST_CASE("the statement is in-toto v1 with a subject per digest") {
  const json::object s = statement(report(test::trace()));
  CHECK(json::get_string(s, "_type", "s") == "https://in-toto.io/Statement/v1");
  CHECK(json::get_string(s, "predicateType", "s") == "urn:kiln:tuning-report:v1");
  const json::array& subjects = s.at("subject").as_array();
  REQUIRE(subjects.size() == 3);
  CHECK(json::get_string(subjects[0].as_object(), "name", "s") == "minilm-l6/2/manifest.json");
  CHECK(subjects[0].at("digest").at("sha256").as_string() == std::string(64, 'e'));
  CHECK(json::get_string(subjects[1].as_object(), "name", "s") == "objects/" + std::string(64, 'f') + ".so");
  CHECK(s.at("predicate").at("job").as_string() == "j-1");
}

TEST_CASE("two releases that share a code object name it once; none at all leaves the graph as subject") {
  json::object trace = test::trace();
  json::value second = trace["releases"].as_array()[0];
  second.as_object()["version"] = 1;
  second.as_object()["kind"] = "baseline";
  trace["releases"].as_array().push_back(second);
  CHECK(statement(report(trace)).at("subject").as_array().size() == 4);
  trace["releases"] = json::array{};
  const json::object s = statement(report(trace));
  REQUIRE(s.at("subject").as_array().size() == 1);
  CHECK(s.at("subject").at(0).at("digest").at("sha256").as_string() == std::string(64, 'a'));
}

TEST_CASE("the page is well-formed, loads nothing and runs nothing") {
  const std::string page = html(report(test::trace()));
  if (const char* file = std::getenv("KILN_REPORT_PAGE")) std::ofstream(file) << page;
  std::string why;
  CHECK_MESSAGE(well_formed(page, why), why);
  for (const char* forbidden : {"<script", "<link", "<img", "<iframe", "<object", "<embed", "<form",
                                "http:", "https:", "url(", "@import", "javascript:", "src="})
    CHECK_MESSAGE(page.find(forbidden) == std::string::npos, forbidden);
  CHECK(page.find("default-src 'none'") != std::string::npos);
  for (const char* shown :
       {"1.39× faster", "[1.362, 1.418]", "matmul 128x1536x384 + gelu", "layer norm", "Example Processor 9000",
        "seccomp", "openssl pkeyutl -verify", "ssh-keygen -Y verify", "kctl replay j-1",
        "few elements wrong, as at a tail", "failed twice and never worked", "matmul/onednn", "0.40 %"})
    CHECK_MESSAGE(page.find(shown) != std::string::npos, shown);
}

TEST_CASE("numbers of regions in one place stand apart, and so do names of ceilings that are close") {
  json::object trace = test::trace();
  for (const char* list : {"profile", "regions"}) {  // the first region twice more
    const bool top = list == std::string("regions");
    json::array& regions = (top ? trace[list] : trace[list].as_object()["regions"]).as_array();
    for (const char* key : {"cccc", "dddd"}) {
      json::value copy = regions[0];
      copy.as_object()[top ? "key" : "region"] = key;
      regions.push_back(copy);
    }
  }
  trace["node"].as_object()["bandwidth"].as_object()["l3_read"] = 8.5e10;  // memory_read: 8e10
  const std::string plot = page::roofline(report(trace));
  const std::regex number("class=\"id\" x=\"([0-9.]+)\" y=\"([0-9.]+)\" text-anchor=\"([a-z]+)\">([1-4])<");
  std::vector<std::pair<double, double>> at;
  for (std::sregex_iterator i(plot.begin(), plot.end(), number), end; i != end; ++i) {
    const std::string anchor = (*i)[3];
    at.emplace_back(std::stod((*i)[1]) + (anchor == "start" ? 4 : anchor == "end" ? -4 : 0), std::stod((*i)[2]));
  }
  REQUIRE(at.size() == 4);
  for (std::size_t a = 0; a < at.size(); ++a)
    for (std::size_t b = a + 1; b < at.size(); ++b)  // a digit is some 8 pixels wide and 9 high
      CHECK(std::max(std::abs(at[a].first - at[b].first), std::abs(at[a].second - at[b].second)) >= 10);
  const auto side = [&](const std::string& name) {
    std::smatch m;
    REQUIRE(std::regex_search(plot, m, std::regex("dy=\"(-?[0-9]+)\">" + name)));
    return std::stoi(m[1]);
  };
  CHECK(side("l2_read") < 0);
  CHECK(side("l3_read") < 0);
  CHECK(side("memory_read") > 0);
}

TEST_CASE("hostile names are text") {
  json::object trace = test::trace(kHostile, kHostile);
  trace["rewrites"] = json::array{kHostile};
  trace["checkpoint"] = kHostile;
  trace["timeline"].as_array()[0].as_object()["phase"] = kHostile;
  trace["timeline"].as_array()[1].as_object()["phase"] =
      std::string(25, 'x') + "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac";  // cut inside a character
  trace["regions"].as_array()[0].as_object()["candidates"].as_array()[0].as_object()["reason"] = kHostile;
  trace["regions"].as_array()[0].as_object()["diagnoses"].as_array()[0].as_object()["proof"] = kHostile;
  trace["node"].as_object()["cpu_model"] = kHostile;
  trace["versions"].as_object()[kHostile] = kHostile;
  const std::string page = html(report(trace));
  std::string why;
  CHECK_MESSAGE(well_formed(page, why), why);
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.find("<img") == std::string::npos);
  CHECK(page.find("&lt;script&gt;alert(&#39;x&#39;)") != std::string::npos);
  CHECK(page::escaped(std::string("a\x01") + "b") == "a\xef\xbf\xbd" "b");
}

TEST_CASE("a job in which nothing worked still has a page") {
  json::object trace = test::trace();
  trace["regions"] = json::array{};
  trace["timeline"] = json::array{};
  trace["releases"] = json::array{};
  trace["rewrites"] = json::array{};
  trace["decision"] = to_json(Decision{Comparison::ambiguous, false, {}, "kept the incumbent"});
  std::string why;
  CHECK_MESSAGE(well_formed(html(report(trace)), why), why);

  trace = test::trace();
  json::object& region = trace["regions"].as_array()[0].as_object();
  region["candidates"] = json::array{};
  region["diagnoses"] = json::array{};
  json::object& winner = region["winner"].as_object();
  winner["variant"] = nullptr;
  winner.erase("source");
  winner["summary"] = to_json(Summary{});
  const std::string page = html(report(trace));
  CHECK_MESSAGE(well_formed(page, why), why);
  CHECK(page.find("nan") == std::string::npos);
  CHECK(page.find("inf<") == std::string::npos);
}

TEST_CASE("figures have units that people read") {
  CHECK(page::duration(950) == "950 ns");
  CHECK(page::duration(12'340) == "12.3 µs");
  CHECK(page::duration(2.5e6) == "2.5 ms");
  CHECK(page::duration(3e9) == "3 s");
  CHECK(page::duration(0) == "-");
  CHECK(page::rate(3.84e10, "B/s") == "38.4 GB/s");
  CHECK(page::percent(0.815) == "82 %");
}

TEST_CASE("a logarithmic axis puts a decade at equal steps and ticks inside its range") {
  const page::LogAxis axis{1, 100, 0, 200};
  CHECK(axis.at(1) == 0);
  CHECK(axis.at(10) == doctest::Approx(100));
  CHECK(axis.at(1000) == doctest::Approx(200));  // clamped
  for (const double tick : axis.ticks()) CHECK((tick >= 1 && tick <= 100));
  CHECK(axis.ticks().size() >= 3);
}
