#include <fmt/core.h>

#include <map>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/text.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

Exit list(Session& session, const Arguments&) {
  const json::object corpus = session.daemon().get("/v1/corpus");
  std::map<std::string, int> families;
  for (const json::value& v : json::as_array(json::at(corpus, "templates", "the corpus"), "the templates"))
    ++families[json::get_string(json::as_object(v, "a template"), "family", "a template")];
  if (session.json) {
    print_json(json::object{{"digest", json::at(corpus, "digest", "the corpus")},
                            {"families", boost::json::value_from(families)}});
    return Exit::done;
  }
  Table table({"FAMILY", ">TEMPLATES"});
  for (const auto& [family, count] : families) table.add({family, fmt::format("{}", count)});
  fmt::print("{}", table.text());
  print_line(
      fmt::format("digest over templates and golden sets: {}", json::get_string(corpus, "digest", "the corpus")));
  return Exit::done;
}

Exit golden_run(Session& session, const Arguments&) {
  const json::object answer = session.daemon().post("/v1/golden/run", json::object{});
  const bool passed = json::get_bool(answer, "passed", "the golden run");
  if (session.json) {
    print_json(answer);
    return passed ? Exit::done : Exit::failed;
  }
  Table table({"CASE", "TEMPLATE", "VERDICT", ">OF ALLOWED", ">ORACLE ERROR"});
  std::vector<std::string> reasons;
  for (const json::value& v : json::as_array(json::at(answer, "cases", "the golden run"), "the cases")) {
    const json::object& one = json::as_object(v, "a case");
    const std::string name = json::get_string(one, "family", "a case") + "/" + json::get_string(one, "case", "a case");
    const double oracle = json::get_double(one, "oracle_error", "a case");
    if (!json::get_bool(one, "oracle_agrees", "a case"))
      reasons.push_back(fmt::format("{}: the oracle differs by {:.3g} from {}", name, oracle,
                                    json::get_string(one, "origin", "a case")));
    for (const json::value& k : json::as_array(json::at(one, "kernels", "a case"), "the kernels")) {
      const json::object& kernel = json::as_object(k, "a kernel");
      const std::string verdict = json::get_string(kernel, "verdict", "a kernel");
      table.add({name, json::get_string(kernel, "template", "a kernel"), verdict,
                 fmt::format("{:.2f}", json::get_double(kernel, "worst_ratio", "a kernel")),
                 fmt::format("{:.2g}", oracle)});
      if (verdict != "ok")
        reasons.push_back(fmt::format("{}: {}: {}", name, json::get_string(kernel, "variant", "a kernel"),
                                      json::get_string(kernel, "reason", "a kernel")));
    }
  }
  fmt::print("{}", table.text());
  for (const std::string& reason : reasons) print_line(reason);
  print_line(fmt::format("{} in {:.1f} s", passed ? "all passed" : "FAILED",
                         json::get_double(answer, "seconds", "the golden run")));
  return passed ? Exit::done : Exit::failed;
}

}  // namespace

Command golden_list_command() {
  return {"golden list", "Template families that golden sets cover", "viewer", {}, list};
}
Command golden_run_command() {
  return {"golden run",
          "Runs the golden sets: the oracle against golden values, every template against the oracle",
          "operator",
          {},
          golden_run};
}

}  // namespace kiln::kctl
