#include <fmt/core.h>
#include <fmt/ranges.h>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/text.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

Exit list(Session& session, const Arguments&) {
  const json::object corpus = session.daemon().get("/v1/corpus");
  if (session.json) {
    print_json(corpus);
    return Exit::done;
  }
  Table table({"FAMILY", "NAME", "TYPES", "CLASS", "NEEDS", "SUMMARY"});
  for (const json::value& v : json::as_array(json::at(corpus, "templates", "the corpus"), "the templates")) {
    const json::object& t = json::as_object(v, "a template");
    table.add(
        {json::get_string(t, "family", "a template"),
         json::get_string(t, "name", "a template") + (json::get_bool(t, "vendor", "a template") ? " (vendor)" : ""),
         fmt::format("{}", fmt::join(json::get_strings(t, "dtypes", "a template"), ",")),
         json::get_string(t, "precision_class", "a template"),
         fmt::format("{}", fmt::join(json::get_strings(t, "cpu_features", "a template"), ",")),
         json::get_string(t, "summary", "a template")});
  }
  fmt::print("{}", table.text());
  return Exit::done;
}

Exit show(Session& session, const Arguments& arguments) {
  const std::string& name = arguments.text("template");
  const auto slash = name.find('/');
  if (slash == std::string::npos)
    throw UsageError(fmt::format("cannot show template '{}': FAMILY/NAME is needed", name));
  const json::object t = session.daemon().get("/v1/corpus/" + url_encode(name.substr(0, slash)) + "/" +
                                              url_encode(name.substr(slash + 1)));
  if (session.json) {
    print_json(t);
    return Exit::done;
  }
  print_line(fmt::format("{}: {}\ndigest {}", name, json::get_string(t, "summary", "the template"),
                         json::get_string(t, "digest", "the template")));
  Table table({"TUNABLE", ">DEFAULT", "VALUES", "MEANING"});
  for (const json::value& v : json::as_array(json::at(t, "tunables", "the template"), "the tunables")) {
    const json::object& tunable = json::as_object(v, "a tunable");
    table.add({json::get_string(tunable, "name", "a tunable"),
               fmt::format("{}", json::get_int(tunable, "default", "a tunable")),
               fmt::format("{}", fmt::join(json::get_ints(tunable, "values", "a tunable"), " ")),
               json::get_string(tunable, "meaning", "a tunable")});
  }
  if (!table.empty()) fmt::print("{}", table.text());
  for (const auto& [file, text] : json::as_object(json::at(t, "files", "the template"), "the files"))
    print_line(fmt::format("\n== {}\n{}", std::string_view(file), std::string_view(text.as_string())));
  return Exit::done;
}

}  // namespace

Command corpus_list_command() { return {"corpus list", "Kernel templates that the node may use", "viewer", {}, list}; }
Command corpus_show_command() {
  return {"corpus show",
          "One template with its tunables and its source",
          "viewer",
          {positional("template", "FAMILY/NAME")},
          show};
}

}  // namespace kiln::kctl
