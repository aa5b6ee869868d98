// The golden sets of the source tree before real workers, and before an oracle or a template that is wrong.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "agents/conductor/golden.h"
#include "runtime/base/error.h"
#include "tests/worker/object_folder.h"
#include "tests/writer/built_kernel.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

struct Blobs : BlobStore {
  testing::ObjectFolder& objects;
  explicit Blobs(testing::ObjectFolder& o) : objects(o) {}
  std::string put(std::string_view bytes) override { return objects.put(bytes); }
  [[nodiscard]] bool keep(const std::string&, std::int64_t) override { return false; }
  [[nodiscard]] std::string get(const std::string& digest) const override { return read_file(objects.path(digest)); }
};

struct Golden {
  testing::ObjectFolder objects;
  Blobs blobs{objects};
  std::unique_ptr<Workbench> bench;
  std::vector<store::TemplateSpec> templates;

  Golden() {
    bench = worker::make_workbench(testing::bench_options(objects), objects);
  }

  static std::vector<store::GoldenCase> cases(const std::string& family) {
    return store::parse_golden(family,
                               read_file(std::filesystem::path(KILN_SOURCE_DIR) / "store/golden" / (family + ".toml")));
  }
  std::vector<GoldenResult> run(const std::vector<store::GoldenCase>& cases,
                                GoldenExtent extent = GoldenExtent::defaults) {
    return run_golden(cases, templates, extent, testing::this_node(), {}, *bench, blobs);
  }
};

// concat/copy with another condition for the rows that it copies.
store::TemplateSpec copy_while(const std::string& condition) {
  store::TemplateSpec spec = testing::template_of("concat", "copy");
  std::string& text = spec.files.at("kernel.cpp");
  const std::size_t at = text.find("row < last");
  REQUIRE(at != std::string::npos);
  text.replace(at, 10, condition);
  return spec;
}

}  // namespace

TEST_CASE("the oracle agrees with every golden value, and a template with the oracle") {
  Golden golden;
  golden.templates = {testing::template_of("row", "fused")};
  const std::vector<GoldenResult> results = golden.run(Golden::cases("row"));
  CHECK(results.size() == 8);
  for (const GoldenResult& result : results) {
    INFO(result.name << ": oracle error " << result.oracle_error);
    CHECK(result.oracle_agrees);
    REQUIRE(result.kernels.size() == 1);
    INFO(result.kernels.front().judgement.reason);
    CHECK(result.passed());
  }
}

TEST_CASE("convolutions, windows, padding, scans, scatter and recurrent layers pass their golden values") {
  const std::map<std::string, std::string> templates = {
      {"convolution", "direct"}, {"window", "plain"}, {"pad", "copy"}, {"line", "plain"}, {"scatter", "rows"},
      {"recurrent", "steps"}};
  for (const auto& entry : templates) {
    const std::string& family = entry.first;  // clang 14 captures no structured binding
    Golden golden;
    golden.templates = {testing::template_of(family, entry.second)};
    for (const GoldenResult& result : golden.run(Golden::cases(family))) {
      INFO(family << "/" << result.name << ": oracle error " << result.oracle_error);
      CHECK(result.oracle_agrees);
      CHECK(result.passed());
    }
  }
}

TEST_CASE("without templates the other families still hold the oracle, and no case passes") {
  Golden golden;
  for (const char* family : {"matmul", "pointwise", "attention", "gather", "concat", "convolution", "window", "pad",
                             "line", "scatter", "recurrent"})
    for (const GoldenResult& result : golden.run(Golden::cases(family))) {
      INFO(family << "/" << result.name << ": oracle error " << result.oracle_error);
      CHECK(result.oracle_agrees);
      CHECK_FALSE(result.passed());  // nothing was compared with it
    }
}

TEST_CASE("a golden value that differs in its last digits fails its case") {
  Golden golden;
  std::vector<store::GoldenCase> cases = Golden::cases("gather");
  cases.front().values.at("y").front() *= 1 + 1e-9;
  CHECK_FALSE(golden.run(cases).front().oracle_agrees);
}

TEST_CASE("a template that computes something else fails its cases") {
  Golden golden;
  golden.templates = {copy_while("row + 1 < last")};
  const std::vector<GoldenResult> results = golden.run(Golden::cases("concat"));
  CHECK(results.front().oracle_agrees);
  CHECK(results.front().kernels.front().judgement.verdict == Verdict::wrong);
  CHECK(results.front().kernels.front().cause == "leaves elements unwritten, as at a tail");
  CHECK_FALSE(results.front().passed());
}

TEST_CASE("a case whose graph and tensors do not fit is refused by name") {
  Golden golden;
  std::vector<store::GoldenCase> cases = Golden::cases("concat");
  cases.front().values.erase("a");
  try {
    (void)golden.run(cases);
    FAIL("it ran");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("concat/two_parts") != std::string::npos);
    CHECK(std::string(error.what()).find("'a'") != std::string::npos);
  }
}

TEST_CASE("a spread has the default, every value of every tunable, and no more rows than it may") {
  Space space;
  space.names = {"a", "b", "c"};
  space.values = {{1, 2, 3, 4, 5}, {1, 2, 3, 4}, {0, 1}};
  for (std::uint16_t a = 0; a < 5; ++a)
    for (std::uint16_t b = 0; b < 4; ++b)
      for (std::uint16_t c = 0; c < 2; ++c)
        if (a != 2 || b == 3) space.rows.push_back({a, b, c});  // a constraint that leaves one value of b to a = 3
  space.default_row = 7;
  const std::vector<std::size_t> rows = spread(space);
  CHECK(rows.size() == kMostSpread);
  CHECK(rows.front() == 7);
  CHECK(std::set<std::size_t>(rows.begin(), rows.end()).size() == rows.size());
  for (std::size_t i = 0; i < space.names.size(); ++i)
    for (std::size_t value = 0; value < space.values[i].size(); ++value)
      CHECK(std::any_of(rows.begin(), rows.end(), [&](std::size_t row) { return space.rows[row][i] == value; }));
  space.rows.resize(5);
  space.default_row = 2;
  CHECK(spread(space).size() == 5);  // the whole of a small space
  space.rows.clear();
  CHECK(spread(space).empty());
}

TEST_CASE("a spread finds the one value of a tunable that is wrong, and the debugger names it") {
  Golden golden;
  golden.templates = {copy_while("row + (kTaskFactor == 8 ? 1 : 0) < last")};
  CHECK(golden.run(Golden::cases("concat")).front().passed());  // the default is right
  const std::vector<GoldenResult> results = golden.run(Golden::cases("concat"), GoldenExtent::spread);
  CHECK_FALSE(results.front().passed());
  for (const GoldenResult::Kernel& kernel : results.front().kernels) {
    const bool wrong = kernel.variant.tunables.at("task_factor") == 8;
    CHECK(kernel.judgement.verdict == (wrong ? Verdict::wrong : Verdict::ok));
    CHECK((kernel.proof.find("task_factor=8") != std::string::npos) == wrong);
  }
}

TEST_CASE("what a template has wrong is told with its line") {
  const auto message = [](const std::string& file, const std::string& what, const std::string& by) {
    Golden golden;
    golden.templates = {testing::template_of("concat", "copy")};
    store::TemplateSpec& spec = golden.templates.front();
    std::string text = spec.files.at(file);
    text.replace(text.find(what), what.size(), by);
    spec.files[file] = text;
    spec = store::parse_template(spec.family, spec.name, spec.files);
    try {
      return golden.run(Golden::cases("concat")).front().kernels.front().judgement.reason;
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  const auto said = [](const std::string& text, const char* words) {
    INFO(text);
    CHECK(text.find(words) != std::string::npos);
  };
  said(message("template.toml", "threads * task_factor", "threads * task_facter"), "line 26 of template.toml");
  said(message("template.toml", "isa <= 256 || has_avx512f", "isa <= 256 || has_avx51f"), "has_avx51f");
  said(message("template.toml", "bytes = \"bytes\"", "bytes = \"bites\""), "line 31 of template.toml");
  said(message("kernel.cpp", "copy_row(args, row)", "copy_row(args, rov)"), "line 10 of kernel.cpp");
}
