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
          {"tunables", std::move(tunables)}};
}

}  // namespace

Answer get_corpus(Context& context, const Request&) {
  json::array templates;
  for (const store::TemplateSpec& spec : context.services.corpus.templates()) templates.emplace_back(summary(spec));
  return json_answer(json::object{{"digest", context.services.corpus.digest()}, {"templates", std::move(templates)}});
}

Answer get_template(Context& context, const Request& request) {
  const std::string& family = request.parameters.at("family");
  const std::string& name = request.parameters.at("name");
  const store::TemplateSpec* spec = context.services.corpus.find(family, name);
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

Answer run_golden(Context& context, const Request&) {
  const OnlyOne guard(context.proving, "run the golden sets");
  return json_answer(context.services.jobs.golden());
}

}  // namespace kiln::control
