#include <fmt/core.h>

#include <map>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/text.h"

namespace kiln::kctl {
namespace {

Exit list(Session& session, const Arguments&) {
  const json::object corpus = session.daemon().get("/v1/corpus");
  std::map<std::string, int> families;
  for (const json::value& v : json::as_array(json::at(corpus, "templates", "the corpus"), "the templates"))
    ++families[json::get_string(json::as_object(v, "a template"), "family", "a template")];
  if (session.json) {
    print_json(json::object{{"digest", json::at(corpus, "digest", "the corpus")}, {"families", boost::json::value_from(families)}});
    return Exit::done;
  }
  Table table({"FAMILY", ">TEMPLATES"});
  for (const auto& [family, count] : families) table.add({family, fmt::format("{}", count)});
  fmt::print("{}", table.text());
  print_line(fmt::format("digest over templates and golden sets: {}", json::get_string(corpus, "digest", "the corpus")));
  return Exit::done;
}

Exit golden_run(Session&, const Arguments&) {
  throw Error(ErrorCode::unsupported, "cannot run golden sets: this daemon has no route for it",
              "every tuning job checks each candidate and the whole workload against the oracle");
}

}  // namespace

Command golden_list_command() { return {"golden list", "Template families that golden sets cover", "viewer", {}, list}; }
Command golden_run_command() { return {"golden run", "Not available in this version; says so", "", {}, golden_run}; }

}  // namespace kiln::kctl
