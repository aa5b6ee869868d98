// A release directory that was damaged, forged or made for another machine: a status, never a crash, never a run.
#include <doctest/doctest.h>

#include <functional>

#include "runtime/failure.h"
#include "runtime/kiln.h"
#include "runtime/plan_file.h"
#include "tests/runtime/example.h"

using namespace kiln;
using namespace kiln::test;

namespace {

kiln_status open_status(const ReleaseFolder& folder, bool verify = true) {
  kiln_options options = kiln_options_default();
  options.verify_digests = verify ? 1 : 0;
  kiln_release* release = nullptr;
  const kiln_status status = kiln_open(folder.path().c_str(), &options, &release);
  CHECK((release == nullptr) == (status != KILN_OK));
  kiln_close(release);
  return status;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

const std::string digest_a(64, 'a');

kiln_status plan_status(const std::string& text) {
  try {
    (void)runtime::parse_plan(text);
    return KILN_OK;
  } catch (const runtime::Failure& e) {
    return e.status();
  }
}

}  // namespace

TEST_CASE("manifest and plan cut at every byte") {
  ReleaseFolder folder;
  make_example(folder);
  const std::string manifest = folder.manifest();
  for (std::size_t cut = 0; cut < manifest.size(); ++cut) {
    folder.write_manifest(manifest.substr(0, cut));
    REQUIRE(open_status(folder) == KILN_E_FORMAT);
  }
  const std::string plan = example_plan(digest_a, digest_a);
  REQUIRE(plan_status(plan) == KILN_OK);
  for (std::size_t cut = 0; cut < plan.size(); ++cut) REQUIRE(plan_status(plan.substr(0, cut)) == KILN_E_FORMAT);
}

TEST_CASE("one flipped byte of any file is a digest that differs") {
  for (const std::string file : {"plan.json", "constants.bin", "object"}) {
    ReleaseFolder folder;
    make_example(folder);
    std::filesystem::path path = folder.path() / file;
    if (file == "object") path = std::filesystem::directory_iterator(folder.path() / "objects")->path();
    std::string content = read_file(path);
    content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << content;
    INFO(file);
    CHECK(open_status(folder) == KILN_E_DIGEST);
  }
}

TEST_CASE("files that are missing, shorter, longer, or links") {
  const auto damaged = [](const std::function<void(const std::filesystem::path&)>& damage) {
    ReleaseFolder folder;
    make_example(folder);
    damage(folder.path() / "constants.bin");
    return open_status(folder, false);
  };
  CHECK(damaged([](const auto& p) { std::filesystem::remove(p); }) == KILN_E_IO);
  CHECK(damaged([](const auto& p) { std::filesystem::resize_file(p, 399); }) == KILN_E_DIGEST);
  CHECK(damaged([](const auto& p) { std::filesystem::resize_file(p, 401); }) == KILN_E_DIGEST);
  CHECK(damaged([](const auto& p) {
          std::filesystem::rename(p, p.string() + ".real");
          std::filesystem::create_symlink(p.string() + ".real", p);
        }) == KILN_E_IO);
  CHECK(damaged([](const auto& p) {
          std::filesystem::remove(p);
          std::filesystem::create_directory(p);
        }) == KILN_E_IO);
}

TEST_CASE("a manifest that names files outside its folder, twice, or lies about the plan") {
  ReleaseFolder folder;
  make_example(folder);
  const std::string good = folder.manifest();
  for (const char* path : {"/etc/passwd", "../x", "a/../../x", "a//b", "./x", "a/.", "", "a\\\\b", "a\\u0000b", "a/"}) {
    INFO(path);
    folder.write_manifest(replaced(good, "\"constants.bin\"", "\"" + std::string(path) + "\""));
    CHECK(open_status(folder) == KILN_E_FORMAT);
  }
  folder.write_manifest(replaced(good, "\"constants.bin\"", "\"plan.json\""));
  CHECK(open_status(folder) == KILN_E_FORMAT);
  folder.write_manifest(replaced(good, "\"plan\":\"plan.json\"", "\"plan\":\"other.json\""));
  CHECK(open_status(folder) == KILN_E_FORMAT);
  folder.write_manifest(replaced(good, "kiln-release/1", "kiln-release/2"));
  CHECK(open_status(folder) == KILN_E_FORMAT);
  folder.write_manifest(replaced(good, "\"bytes\":400", "\"bytes\":-1"));
  CHECK(open_status(folder) == KILN_E_FORMAT);
  folder.write_manifest(good);
  CHECK(open_status(folder) == KILN_OK);
}

TEST_CASE("a plan whose numbers lead outside is refused, each by itself") {
  const std::string good = example_plan(digest_a, digest_a);
  struct Case { const char* from; const char* to; };
  const Case cases[] = {
      {"kiln-plan/1", "kiln-plan/2"},
      {"\"threads\":2", "\"threads\":0"},
      {"\"threads\":2", "\"threads\":5000"},
      {"\"shape\":[10,10],\"buffer\":0", "\"shape\":[10,11],\"buffer\":0"},
      {"\"shape\":[10,10],\"buffer\":0", "\"shape\":[-10,-10],\"buffer\":0"},
      {"\"shape\":[10,10],\"buffer\":0", "\"shape\":[4294967296,4294967296],\"buffer\":0"},
      {"\"shape\":[10,10],\"buffer\":0", "\"shape\":[10,10],\"buffer\":1"},
      {"\"shape\":[10,10],\"buffer\":0", "\"shape\":[10,10],\"buffer\":99"},
      {"\"dtype\":\"f32\"", "\"dtype\":\"f33\""},
      {"\"kind\":\"input\",\"bytes\":400,\"offset\":0,\"index\":0",
       "\"kind\":\"input\",\"bytes\":400,\"offset\":0,\"index\":1"},
      {"\"kind\":\"input\",\"bytes\":400,\"offset\":0,\"index\":0",
       "\"kind\":\"input\",\"bytes\":400,\"offset\":64,\"index\":0"},
      {"\"kind\":\"input\",\"bytes\":400,\"offset\":0,\"index\":0",
       "\"kind\":\"input\",\"bytes\":399,\"offset\":0,\"index\":0"},
      {"\"kind\":\"input\"", "\"kind\":\"inptu\""},
      {"\"kind\":\"constant\",\"bytes\":400,\"offset\":0", "\"kind\":\"constant\",\"bytes\":400,\"offset\":64"},
      {"\"kind\":\"constant\",\"bytes\":400,\"offset\":0", "\"kind\":\"constant\",\"bytes\":-1,\"offset\":0"},
      {"\"kind\":\"prepared\",\"bytes\":400,\"offset\":64", "\"kind\":\"prepared\",\"bytes\":400,\"offset\":128"},
      {"\"kind\":\"prepared\",\"bytes\":400,\"offset\":64", "\"kind\":\"prepared\",\"bytes\":400,\"offset\":4"},
      {"\"kind\":\"temporary\",\"bytes\":400,\"offset\":128", "\"kind\":\"temporary\",\"bytes\":401,\"offset\":128"},
      {"\"kind\":\"temporary\",\"bytes\":400,\"offset\":128",
       "\"kind\":\"temporary\",\"bytes\":9223372036854775807,\"offset\":128"},
      {"\"kind\":\"temporary\",\"bytes\":400,\"offset\":128",
       "\"kind\":\"temporary\",\"bytes\":400,\"offset\":9223372036854775744"},
      {"\"kind\":\"temporary\",\"bytes\":400,\"offset\":128", "\"kind\":\"temporary\",\"bytes\":400,\"offset\":-64"},
      {"\"temporary_bytes\":528", "\"temporary_bytes\":527"},
      {"\"temporary_bytes\":528", "\"temporary_bytes\":9223372036854775807"},
      {"\"constants_bytes\":400", "\"constants_bytes\":399"},
      {"\"object\":0", "\"object\":1"},
      {"\"object\":0", "\"object\":-1"},
      {"\"symbol\":\"add\"", "\"symbol\":\"\""},
      {"\"symbol\":\"add\"", "\"symbol\":\"a b\""},
      {"\"symbol\":\"add\"", "\"symbol\":\"0add\""},
      {"\"args\":[0,3,4]", "\"args\":[0,3,5]"},
      {"\"args\":[0,3,4]", "\"args\":[0,3,-1]"},
      {"\"args\":[0,3,4]", "\"args\":[0,3,1.5]"},
      {"\"args\":[2,3]", "\"args\":[0,3]"},  // prepare must not read the caller's input
      {"\"args\":[2,3]", "\"args\":[2,1]"},  // nor write its output
      {"\"tasks\":10", "\"tasks\":-1"},
      {"\"tasks\":10", "\"tasks\":99999999999"},
      {"\"scratch_bytes\":40", "\"scratch_bytes\":-1"},
      {"\"scratch_bytes\":40", "\"scratch_bytes\":9223372036854775807"},
      // Of 528 bytes: two threads' scratch of 64 bytes each ends at 512 at most, on a multiple of 64.
      {"\"scratch_bytes\":40", "\"scratch_bytes\":40,\"scratch_offset\":-64"},
      {"\"scratch_bytes\":40", "\"scratch_bytes\":40,\"scratch_offset\":32"},
      {"\"scratch_bytes\":40", "\"scratch_bytes\":40,\"scratch_offset\":448"},
      {"\"scratch_bytes\":40", "\"scratch_bytes\":400,\"scratch_offset\":0"},
      {"\"scratch_bytes\":40", "\"scratch_bytes\":40,\"scratch_offset\":9223372036854775807"},
      {"\"has_state\":true", "\"has_state\":1"},
      {"\"prepare\":", "\"prepped\":"},
      {"\"name\":\"y\"", "\"name\":7"},
  };
  for (const Case& c : cases) {
    INFO(c.to);
    CHECK(plan_status(replaced(good, c.from, c.to)) == KILN_E_FORMAT);
  }
  CHECK(plan_status(replaced(good, digest_a, "../../etc/passwd")) == KILN_E_FORMAT);
  CHECK(plan_status(replaced(good, digest_a, std::string(64, 'A'))) == KILN_E_FORMAT);
  CHECK(plan_status(replaced(good, "\"target\":\"cpu\"", "\"target\":\"abacus\"")) == KILN_E_TARGET);
  // A plan for a GPU names its architecture, and each launch its grid.
  const std::string gpu = replaced(good, "\"target\":\"cpu\"", R"("target":"cuda","architecture":"sm_90a")");
  CHECK(plan_status(replaced(good, "\"target\":\"cpu\"", "\"target\":\"cuda\"")) == KILN_E_FORMAT);
  CHECK(plan_status(gpu) == KILN_E_FORMAT);
  CHECK(plan_status(replaced(gpu, "sm_90a", "sm_x")) == KILN_E_FORMAT);
  CHECK(plan_status(replaced(good, "\"threads\":2", "\"threads\":2,\"threads\":2")) == KILN_E_FORMAT);
  CHECK(plan_status(std::string(100'000, '[')) == KILN_E_FORMAT);
  std::string names_twice =
      replaced(good, "\"inputs\":[", R"("inputs":[{"name":"x","dtype":"f32","shape":[10,10],"buffer":0},)");
  CHECK(plan_status(names_twice) == KILN_E_FORMAT);
}

TEST_CASE("made for another CPU") {
  ReleaseFolder folder;
  const std::string object = folder.put_object(example_source);
  const std::string constants = folder.put("constants.bin", example_constants());
  folder.finish(replaced(example_plan(object, constants), "\"cpu_features\":[]", "\"cpu_features\":[\"avx9000\"]"));
  CHECK(open_status(folder) == KILN_E_TARGET);
  CHECK(std::string(kiln_last_error()).find("avx9000") != std::string::npos);
}

TEST_CASE("objects that do not load, or lack their symbol") {
  ReleaseFolder broken;
  const std::string no_elf = "this is no code object";
  const std::string digest = sha256_hex(no_elf);
  broken.put("objects/" + digest + ".so", no_elf);
  const std::string constants = broken.put("constants.bin", example_constants());
  broken.finish(example_plan(digest, constants));
  CHECK(open_status(broken) == KILN_E_LOAD);

  ReleaseFolder lacking;
  const std::string object = lacking.put_object("extern \"C\" void other() {}\n");
  lacking.put("constants.bin", example_constants());
  lacking.finish(example_plan(object, constants));
  CHECK(open_status(lacking) == KILN_E_LOAD);
  CHECK(std::string(kiln_last_error()).find("negate") != std::string::npos);

  ReleaseFolder unlisted;
  make_example(unlisted);
  unlisted.finish(example_plan(digest_a, constants));
  CHECK(open_status(unlisted) == KILN_E_FORMAT);
}
