#include <fmt/core.h>

#include <map>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/golden.h"
#include "daemon/kctl/text.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

std::string case_name(const json::object& one) {
  return json::get_string(one, "family", "a case") + "/" + json::get_string(one, "case", "a case");
}

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

void print_table(const json::object& answer) {
  Table table({"CASE", "TEMPLATE", "VERDICT", ">OF ALLOWED", ">ORACLE ERROR"});
  for (const json::value& v : json::as_array(json::at(answer, "cases", "the golden run"), "the cases")) {
    const json::object& one = json::as_object(v, "a case");
    for (const json::value& k : json::as_array(json::at(one, "kernels", "a case"), "the kernels")) {
      const json::object& kernel = json::as_object(k, "a kernel");
      table.add({case_name(one), json::get_string(kernel, "template", "a kernel"),
                 json::get_string(kernel, "verdict", "a kernel"),
                 fmt::format("{:.2f}", json::get_double(kernel, "worst_ratio", "a kernel")),
                 fmt::format("{:.2g}", json::get_double(one, "oracle_error", "a case"))});
    }
  }
  fmt::print("{}", table.text());
}

Exit golden_run(Session& session, const Arguments&) {
  const json::object answer = session.daemon().post("/v1/golden/run", json::object{});
  const bool passed = json::get_bool(answer, "passed", "the golden run");
  if (session.json) {
    print_json(answer);
    return passed ? Exit::done : Exit::failed;
  }
  print_table(answer);
  for (const std::string& line : golden_failures(answer)) print_line(line);
  print_line(fmt::format("{} in {:.1f} s", passed ? "all passed" : "FAILED",
                         json::get_double(answer, "seconds", "the golden run")));
  return passed ? Exit::done : Exit::failed;
}

}  // namespace

std::vector<std::string> golden_failures(const json::object& answer) {
  std::vector<std::string> out;
  for (const json::value& v : json::as_array(json::at(answer, "cases", "the golden run"), "the cases")) {
    const json::object& one = json::as_object(v, "a case");
    if (!json::get_bool(one, "oracle_agrees", "a case"))
      out.push_back(fmt::format("{}: the oracle differs by {:.3g} from {}", case_name(one),
                                json::get_double(one, "oracle_error", "a case"),
                                json::get_string(one, "origin", "a case")));
    for (const json::value& k : json::as_array(json::at(one, "kernels", "a case"), "the kernels")) {
      const json::object& kernel = json::as_object(k, "a kernel");
      const std::string verdict = json::get_string(kernel, "verdict", "a kernel");
      if (verdict != "ok")
        out.push_back(fmt::format("{}: {}: {}: {}; cause: {}", case_name(one),
                                  json::get_string(kernel, "variant", "a kernel"), verdict,
                                  json::get_string(kernel, "reason", "a kernel"),
                                  json::get_string(kernel, "cause", "a kernel")));
    }
  }
  return out;
}

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
