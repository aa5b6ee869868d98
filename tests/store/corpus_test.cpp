#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "store/corpus/corpus.h"

using namespace kiln;
using namespace kiln::store;

namespace {
const std::string kGood = R"(format = 1
summary = "s"
target = "cpu"
anchor = "matmul"
dtypes = ["f32"]
precision_class = "fp32"
source = "k.cpp"
[tunables.zeta]
values = [1, 2]
default = 2
meaning = "z"
[tunables.alpha]
values = [4]
default = 4
meaning = "a"
[constraints]
all = ["zeta <= alpha"]
[geometry]
tasks = "m"
[cost]
flops = "1"
)";

std::string message(const std::string& toml) {
  try {
    (void)parse_template("matmul", "t", {{"template.toml", toml}, {"k.cpp", "int x;"}});
    return "accepted";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  return text.replace(text.find(what), what.size(), by);
}
}  // namespace

TEST_CASE("a template keeps its tunables in the order of the file, and its digest covers every file") {
  const TemplateSpec spec = parse_template("matmul", "t", {{"template.toml", kGood}, {"k.cpp", "int x;"}});
  REQUIRE(spec.tunables.size() == 2);
  CHECK(spec.tunables[0].name == "zeta");
  CHECK(spec.tunables[1].name == "alpha");
  CHECK(spec.digest != parse_template("matmul", "t", {{"template.toml", kGood}, {"k.cpp", "int y;"}}).digest);
}

TEST_CASE("a defect is named with file, line and cause") {
  CHECK(message(kGood) == "accepted");
  CHECK(message(replaced(kGood, "summary", "sumary"))
            .find("matmul/t/template.toml': line 2, column 10: unknown key 'sumary'") != std::string::npos);
  CHECK(message(replaced(kGood, "default = 2", "default = 3")).find("is not among its values") != std::string::npos);
  CHECK(message(replaced(kGood, "[1, 2]", "[1, 1]")).find("one value twice") != std::string::npos);
  CHECK(message(replaced(kGood, "\"k.cpp\"", "\"q.cpp\"")).find("'q.cpp' is not in its folder") != std::string::npos);
  CHECK(message(replaced(kGood, "\"matmul\"", "\"matmull\"")).find("unknown anchor") != std::string::npos);
  CHECK(message(replaced(kGood, "format = 1", "format = 2")).find("reads format 1") != std::string::npos);
}

TEST_CASE("a template cut at every byte is refused or whole, never a crash") {
  for (std::size_t n = 0; n < kGood.size(); ++n) (void)message(kGood.substr(0, n));
  CHECK(message(kGood.substr(0, kGood.find("source"))) != "accepted");
}

TEST_CASE("the corpus in git compiles, the same text to the same bytes, and a flipped byte is found") {
  const std::filesystem::path root = KILN_SOURCE_DIR;
  const std::filesystem::path a = std::filesystem::path(KILN_BINARY_DIR) / "corpus_a.db",
                              b = std::filesystem::path(KILN_BINARY_DIR) / "corpus_b.db";
  build_corpus(root / "store/corpus/templates", root / "store/golden", a);
  build_corpus(root / "store/corpus/templates", root / "store/golden", b);
  const std::string bytes = read_file(a);
  CHECK(bytes == read_file(b));
  const Corpus corpus = open_corpus(a);
  CHECK(corpus.find("pointwise", "fused") != nullptr);
  CHECK(corpus.golden.size() >= 5);

  std::string bad = bytes;
  const std::size_t at = bad.find("One pass over");
  REQUIRE(at != std::string::npos);
  bad[at] = 'o';
  write_file_atomic(b, bad);
  CHECK_THROWS_AS((void)open_corpus(b), Error);
  write_file_atomic(b, bytes.substr(0, bytes.size() / 2));
  CHECK_THROWS_AS((void)open_corpus(b), Error);
}

TEST_CASE("a [cost] names what somebody reads, and every template of ours for a CPU has one to be tried by") {
  const std::filesystem::path root = KILN_SOURCE_DIR, file = std::filesystem::path(KILN_BINARY_DIR) / "corpus_c.db";
  build_corpus(root / "store/corpus/templates", root / "store/golden", file);
  const std::set<std::string> of_cpu = {"flops", "bytes"},
                              of_gpu = {"instructions", "waits",   "meetings", "in_flight",
                                        "registers",    "traffic", "launches"};
  for (const TemplateSpec& spec : open_corpus(file).templates) {
    INFO(spec.family << "/" << spec.name);
    std::set<std::string> names;
    for (const auto& [name, unused] : spec.cost) names.insert(name);
    if (spec.target == "cpu") {
      CHECK(names == (spec.vendor ? std::set<std::string>{} : of_cpu));
    } else {
      CHECK((names.empty() || names.contains("instructions")));
      CHECK(std::includes(of_gpu.begin(), of_gpu.end(), names.begin(), names.end()));
    }
  }
}

TEST_CASE("a golden case needs an origin, a graph and as many values as its shape") {
  const std::string x = "x = { shape = [2], values = [1, 2] }\n", origin = "origin = \"me\"\n",
                    graph = "graph = '{}'\n";
  CHECK(parse_golden("f", "[c]\n" + origin + graph + x).size() == 1);
  CHECK(parse_golden("f", "[c]\n" + origin + graph + x).front().graph == "{}");
  CHECK_THROWS_AS((void)parse_golden("f", "[c]\n" + graph + x), Error);
  CHECK_THROWS_AS((void)parse_golden("f", "[c]\n" + origin + x), Error);
  CHECK_THROWS_AS((void)parse_golden("f", "[c]\n" + origin + graph + "x = { shape = [3], values = [1, 2] }\n"), Error);
}
