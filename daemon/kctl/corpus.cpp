#include <fmt/core.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/golden.h"
#include "daemon/kctl/text.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

constexpr std::size_t kMostBytes = 1u << 20;  // of one file; the daemon takes less for all of them

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
         json::get_string(t, "name", "a template") + (json::get_bool(t, "vendor", "a template") ? " (vendor)"
                                                      : json::get_bool(t, "site", "a template") ? " (site)"
                                                                                                  : ""),
         fmt::format("{}", fmt::join(json::get_strings(t, "dtypes", "a template"), ",")),
         json::get_string(t, "precision_class", "a template"),
         fmt::format("{}", fmt::join(json::get_strings(t, "cpu_features", "a template"), ",")),
         json::get_string(t, "summary", "a template")});
  }
  fmt::print("{}", table.text());
  for (const json::value& v : json::as_array(json::at(corpus, "unused", "the corpus"), "the unused")) {
    const json::object& one = json::as_object(v, "a template");
    say(fmt::format("{} of the site is not used: {}", json::get_string(one, "template", "a template"),
                    json::get_string(one, "cause", "a template")));
  }
  return Exit::done;
}

// FAMILY/NAME of an argument, as the two segments of a path.
std::string path_of(const std::string& name, std::string_view verb) {
  const auto slash = name.find('/');
  if (slash == std::string::npos)
    throw UsageError(fmt::format("cannot {} template '{}': FAMILY/NAME is needed", verb, name));
  return url_encode(name.substr(0, slash)) + "/" + url_encode(name.substr(slash + 1));
}

Exit show(Session& session, const Arguments& arguments) {
  const std::string& name = arguments.text("template");
  const json::object t = session.daemon().get("/v1/corpus/" + path_of(name, "show"));
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

// The files of a template's folder; what else may be in one is the daemon's to judge.
json::object files_of(const std::filesystem::path& folder) {
  std::error_code error;
  const std::filesystem::directory_iterator entries(folder, error);
  if (error)
    throw Error(ErrorCode::not_found, fmt::format("cannot read template '{}': {}", folder.string(), error.message()));
  json::object out;
  for (const auto& entry : entries) {
    if (entry.is_symlink() || !entry.is_regular_file())
      throw Error(ErrorCode::invalid_input, fmt::format("cannot read template '{}': '{}' is not a file",
                                                        folder.string(), entry.path().filename().string()));
    const std::string text = read_file(entry.path(), kMostBytes);
    (void)json::parse(json::canonical(json::value(text)), "file '" + entry.path().string() + "'");  // it is UTF-8
    out[entry.path().filename().string()] = text;
  }
  return out;
}

Exit add(Session& session, const Arguments& arguments) {
  const std::filesystem::path folder = std::filesystem::absolute(arguments.text("folder")).lexically_normal();
  const std::filesystem::path last = folder.has_filename() ? folder.filename() : folder.parent_path().filename();
  const json::object request{{"name", arguments.find("name").value_or(last.string())}, {"files", files_of(folder)}};
  const json::object answer = session.daemon().post("/v1/corpus", request);
  const bool accepted = json::get_bool(answer, "accepted", "the answer");
  if (session.json) {
    print_json(answer);
    return accepted ? Exit::done : Exit::failed;
  }
  std::size_t kernels = 0;
  const json::array& cases = json::as_array(json::at(answer, "cases", "the answer"), "the cases");
  for (const json::value& one : cases)
    kernels += json::as_array(json::at(json::as_object(one, "a case"), "kernels", "a case"), "the kernels").size();
  for (const std::string& line : golden_failures(answer)) print_line(line);
  print_line(fmt::format("{} {}: {} variants on {} golden cases in {:.1f} s",
                         json::get_string(answer, "template", "the answer"),
                         accepted ? "is in the corpus of later jobs" : "is REFUSED", kernels, cases.size(),
                         json::get_double(answer, "seconds", "the answer")));
  return accepted ? Exit::done : Exit::failed;
}

Exit remove(Session& session, const Arguments& arguments) {
  const std::string& name = arguments.text("template");
  const json::object answer = session.daemon().post("/v1/corpus/" + path_of(name, "remove") + "/remove");
  if (session.json) print_json(answer);
  else print_line(name + " is removed; jobs that were submitted with it keep it");
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

Command corpus_add_command() {
  return {"corpus add",
          "Proves a template of the site by the golden set of its family, and adds it",
          "admin",
          {positional("folder", "Holds template.toml and its source"),
           option("name", "NAME", "Name in the corpus; the folder's otherwise")},
          add};
}
Command corpus_remove_command() {
  return {"corpus remove",
          "Removes a template that the site added",
          "admin",
          {positional("template", "FAMILY/NAME")},
          remove};
}

}  // namespace kiln::kctl
