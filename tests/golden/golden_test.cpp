// The golden sets of the source tree before real workers, and before an oracle or a template that is wrong.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <map>
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
  std::vector<GoldenResult> run(const std::vector<store::GoldenCase>& cases) {
    return run_golden(cases, templates, testing::this_node(), {}, *bench, blobs);
  }
};

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

TEST_CASE("convolutions, windows, padding, scans and scatter pass their golden values") {
  const std::map<std::string, std::string> templates = {
      {"convolution", "direct"}, {"window", "plain"}, {"pad", "copy"}, {"line", "plain"}, {"scatter", "rows"}};
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
                             "line", "scatter"})
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
  golden.templates = {testing::template_of("concat", "copy")};
  std::string& text = golden.templates.front().files.at("kernel.cpp");
  const std::size_t at = text.find("row < last");
  REQUIRE(at != std::string::npos);
  text.replace(at, 10, "row + 1 < last");
  const std::vector<GoldenResult> results = golden.run(Golden::cases("concat"));
  CHECK(results.front().oracle_agrees);
  CHECK(results.front().kernels.front().judgement.verdict == Verdict::wrong);
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
