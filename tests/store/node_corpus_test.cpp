// The site's templates beside Kiln's: what is added is there after a restart, and a job keeps what it began with.
#include "store/node_corpus.h"

#include <doctest/doctest.h>

#include "runtime/base/error.h"
#include "store/corpus/site_template.h"
#include "store/sqlite/database.h"
#include "tests/store/fixture.h"

using namespace kiln;
using namespace kiln::store;
using namespace kiln::store::test;

namespace {

const std::string kToml = R"(format = 1
summary = "s"
target = "cpu"
anchor = "gather"
dtypes = ["f32"]
precision_class = "fp32"
source = "kernel.cpp"
)";

using Files = std::map<std::string, std::string>;
Files files(const std::string& source, const std::string& toml = kToml) {
  return {{"template.toml", toml}, {"kernel.cpp", source}};
}

TemplateSpec own() { return parse_site_template("rows", files("Kiln's")); }
Corpus kilns() { return {std::string(64, 'c'), {own()}, {}}; }

std::string refusal(const std::string& name, const Files& given) {
  try {
    (void)parse_site_template(name, given);
    return "accepted";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string with(const std::string& line) { return kToml + line + "\n"; }

}  // namespace

TEST_CASE("a template of the site is there after it was added, after a restart, and not after it was removed") {
  const TemporaryFolder folder;
  const TemplateSpec mine = parse_site_template("mine", files("first"));
  std::string digest;
  {
    const auto store = open_store(folder);
    NodeCorpus corpus(kilns(), *store);
    const std::shared_ptr<const Corpus> before = corpus.now();
    CHECK(before->digest == std::string(64, 'c'));  // without any, Kiln's own
    corpus.add(mine, "{}");
    digest = corpus.now()->digest;
    CHECK(digest != before->digest);
    CHECK(before->find("gather", "mine") == nullptr);  // what somebody holds stays as it was
    CHECK_THROWS_AS(corpus.add(parse_site_template("mine", files("second")), "{}"), Error);
    CHECK_THROWS_AS(corpus.add(parse_site_template("rows", files("second")), "{}"), Error);
    CHECK_THROWS_AS(corpus.remove("gather", "rows"), Error);
    CHECK_THROWS_AS(corpus.remove("gather", "none"), Error);
  }
  const auto store = open_store(folder);
  NodeCorpus corpus(kilns(), *store);
  CHECK(corpus.now()->digest == digest);
  REQUIRE(corpus.now()->find("gather", "mine") != nullptr);
  CHECK(corpus.now()->find("gather", "mine")->files == mine.files);
  CHECK(store->verify_ledger() == 1);

  const std::vector<std::string> of_a_job = NodeCorpus::stored(*corpus.now());
  corpus.remove("gather", "mine");
  CHECK(corpus.now()->digest == std::string(64, 'c'));
  CHECK(corpus.at(of_a_job).digest == digest);  // a job that was submitted with it
  CHECK(corpus.at({}).digest == std::string(64, 'c'));
  CHECK(store->verify_ledger() == 2);
  corpus.add(parse_site_template("mine", files("second")), "{}");
  CHECK(corpus.now()->digest != digest);
}

TEST_CASE("an update of Kiln that takes a name leaves the site's template aside, and it can be removed") {
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  { NodeCorpus({std::string(64, 'c'), {}, {}}, *store).add(own(), "{}"); }
  NodeCorpus updated(kilns(), *store);
  CHECK(updated.now()->templates.size() == 1);
  REQUIRE(updated.unused().size() == 1);
  CHECK(updated.unused().front().title == "gather/rows");
  CHECK(updated.unused().front().cause.find("the corpus has one of that name") != std::string::npos);
  updated.remove("gather", "rows");
  CHECK(updated.unused().empty());
  CHECK(updated.now()->find("gather", "rows") != nullptr);  // Kiln's own
}

TEST_CASE("a row of a template that says something else than its ledger entry is found, and so is a missing one") {
  for (const char* forgery : {"UPDATE site_templates SET digest = 'forged'", "DELETE FROM site_templates"}) {
    const TemporaryFolder folder;
    {
      const auto store = open_store(folder);
      NodeCorpus corpus(kilns(), *store);
      corpus.add(parse_site_template("mine", files("first")), "{}");
      CHECK(store->verify_ledger() == 1);
    }
    Database(folder.path / "kiln.db", Access::read_write).exec(forgery);
    CHECK_THROWS_AS_MESSAGE((void)open_store(folder)->verify_ledger(), Error, forgery);
  }
}

TEST_CASE("what a site may not bring is refused with file, line and cause") {
  CHECK(refusal("mine", files("x")) == "accepted");
  const auto said = [](const std::string& text, const std::string& words) {
    INFO(text);
    CHECK(text.find(words) != std::string::npos);
  };
  said(refusal("Mine", files("x")), "its name");
  said(refusal("../mine", files("x")), "its name");
  said(refusal(std::string(65, 'a'), files("x")), "its name");
  said(refusal("mine", {{"template.toml", kToml}, {"kernel.cpp", ""}, {"../k.h", ""}}), "file '../k.h'");
  said(refusal("mine", {{"template.toml", kToml}, {"kernel.cpp", ""}, {".hidden", ""}}), "file '.hidden'");
  said(refusal("mine", files(std::string("a\nb\0c", 5))), "kernel.cpp: line 2: a NUL byte");
  said(refusal("mine", files(std::string(SiteTemplateLimits::bytes, 'x'))), "the limit is");
  Files many = files("x");
  for (int i = 0; i < 20; ++i) many["f" + std::to_string(i)] = "";
  said(refusal("mine", many), "more than 16 files");
  said(refusal("mine", files("x", with("libraries = [\"dnnl\"]"))), "line 8, column");
  said(refusal("mine", files("x", with("vendor = true"))), "links no library");
  said(refusal("mine", {{"template.toml", kToml}}), "line 7, column");
  std::string cuda = kToml;
  cuda.replace(cuda.find("\"cpu\""), 5, "\"cuda\"");
  said(refusal("mine", files("x", cuda)), "template.toml: line 3, column");
}

TEST_CASE("a stored template cut at every byte is refused, never half a template") {
  const std::string whole = site_template_text(parse_site_template("mine", files("x")));
  CHECK(site_template_from_text(whole).digest == parse_site_template("mine", files("x")).digest);
  for (std::size_t n = 0; n < whole.size(); ++n)
    CHECK_THROWS_AS((void)site_template_from_text(whole.substr(0, n)), Error);
}
