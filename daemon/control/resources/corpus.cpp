#include "daemon/control/only_one.h"
#include "daemon/control/resources/resources.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::control {
namespace {

json::object texts(const std::map<std::string, std::string>& map) {
  json::object out;
  for (const auto& [key, text] : map) out[key] = text;
  return out;
}

json::object summary(const store::TemplateSpec& spec) {
  json::array tunables;
  for (const store::Tunable& t : spec.tunables)
    tunables.emplace_back(json::object{
        {"name", t.name}, {"values", json::to_array(t.values)}, {"default", t.default_value}, {"meaning", t.meaning}});
  return {{"family", spec.family},
          {"name", spec.name},
          {"digest", spec.digest},
          {"target", spec.target},
          {"summary", spec.summary},
          {"anchor", spec.anchor},
          {"dtypes", json::to_array(spec.dtypes)},
          {"cpu_features", json::to_array(spec.cpu_features)},
          {"precision_class", spec.precision_class},
          {"deterministic", spec.deterministic},
          {"vendor", spec.vendor},
          {"site", !spec.stored.empty()},
          {"tunables", std::move(tunables)}};
}

}  // namespace

Answer get_corpus(Context& context, const Request&) {
  const std::shared_ptr<const store::Corpus> corpus = context.services.corpus.now();
  json::array templates;
  for (const store::TemplateSpec& spec : corpus->templates) templates.emplace_back(summary(spec));
  json::array unused;
  for (const store::NodeCorpus::Unused& one : context.services.corpus.unused())
    unused.emplace_back(json::object{{"template", one.title}, {"cause", one.cause}});
  return json_answer(
      json::object{{"digest", corpus->digest}, {"templates", std::move(templates)}, {"unused", std::move(unused)}});
}

Answer get_template(Context& context, const Request& request) {
  const std::string& family = request.parameters.at("family");
  const std::string& name = request.parameters.at("name");
  const std::shared_ptr<const store::Corpus> corpus = context.services.corpus.now();
  const store::TemplateSpec* spec = corpus->find(family, name);
  if (spec == nullptr)
    throw Error(ErrorCode::not_found, "cannot find template '" + family + "/" + name + "' in the corpus",
                "GET /v1/corpus lists all");
  json::object out = summary(*spec);
  out["constraints"] = json::to_array(spec->constraints);
  out["geometry"] = texts(spec->geometry);
  out["cost"] = texts(spec->cost);
  out["files"] = texts(spec->files);
  return json_answer(std::move(out));
}

Answer post_template(Context& context, const Request& request) {
  constexpr std::string_view what = "the request's body";
  const json::object body = json_body(request, {"name", "files"});
  const std::string name = json::get_string(body, "name", what);
  std::map<std::string, std::string> files;
  const json::object& given = json::as_object(json::at(body, "files", what), "member 'files' of the request's body");
  for (const auto& file : given) files[std::string(file.key())] = json::get_string(given, file.key(), "the files");
  const OnlyOne guard(context.proving, "add template '" + name.substr(0, 80) + "'");
  json::object result = context.services.jobs.add_template(name, files);
  const std::string title = json::get_string(result, "template", "the result");
  const bool accepted = json::get_bool(result, "accepted", "the result");
  Answer answer = json_answer(std::move(result));
  answer.object = accepted ? title : title + " refused";
  return answer;
}

Answer post_template_removal(Context& context, const Request& request) {
  const std::string& family = request.parameters.at("family");
  const std::string& name = request.parameters.at("name");
  context.services.jobs.remove_template(family, name);
  Answer answer = json_answer(
      json::object{{"template", family + "/" + name}, {"corpus", context.services.corpus.now()->digest}});
  answer.object = family + "/" + name;
  return answer;
}

Answer run_golden(Context& context, const Request&) {
  const OnlyOne guard(context.proving, "run the golden sets");
  return json_answer(context.services.jobs.golden());
}

}  // namespace kiln::control
