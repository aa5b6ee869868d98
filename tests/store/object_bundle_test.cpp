// Bundles: written and read, cut, flipped, signed by somebody else, and claiming more than they hold.
#include "store/object_bundle.h"

#include <doctest/doctest.h>

#include <map>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::store;

namespace {

struct Builder {
  kiln::test::TemporaryFolder folder;
  std::unique_ptr<SigningKey> key = SigningKey::load_or_create(folder.path / "builder.pem");
  std::unique_ptr<SigningKey> other = SigningKey::load_or_create(folder.path / "other.pem");
  std::map<std::string, CachedObject> objects{{sha256_hex("a"), {"about a", std::string("\0one", 4)}},
                                              {sha256_hex("b"), {"about b", ""}}};

  [[nodiscard]] std::string bundle(const SigningKey& by) const {
    std::vector<std::string> recipes;
    for (const auto& [recipe, object] : objects) recipes.push_back(recipe);
    std::string out;
    write_bundle(by, {{"target", "sm_90a"}}, recipes, [&](const std::string& recipe) { return objects.at(recipe); },
                 [&](std::string_view piece) { out += piece; });
    return out;
  }
  // What read_bundle() hands over of these bytes, recipe by recipe.
  std::map<std::string, std::string> read(const std::string& bytes, BundleContent* content = nullptr) {
    const std::filesystem::path file = folder.path / "bundle";
    write_file_atomic(file, bytes);
    std::map<std::string, std::string> out;
    const auto take = [&](const std::string& recipe, const CachedObject& entry) {
      out[recipe] = entry.about + "|" + entry.object;
    };
    const BundleContent read = read_bundle(file, {key->public_pem()}, take);
    if (content) *content = read;
    return out;
  }
};

}  // namespace

TEST_CASE("what a node bundled another reads, and knows who signed it") {
  Builder b;
  BundleContent content;
  const auto read = b.read(b.bundle(*b.key), &content);
  CHECK(read.at(sha256_hex("a")) == "about a|" + std::string("\0one", 4));
  CHECK(read.at(sha256_hex("b")) == "about b|");
  CHECK(read.size() == 2);
  CHECK(content.objects == 2);
  CHECK(content.signer == b.key->fingerprint());
  CHECK(json::get_string(content.about, "target", "about") == "sm_90a");
}

TEST_CASE("a bundle of another signer, or of nobody, is refused") {
  Builder b;
  CHECK_THROWS_AS((void)b.read(b.bundle(*b.other)), Error);
  CHECK_THROWS_AS((void)b.read(""), Error);
  CHECK_THROWS_AS((void)b.read("kiln-objects/1 2\n{}\n"), Error);
}

TEST_CASE("a bundle that was cut at any byte, or has bytes behind its end, gives no object at all") {
  Builder b;
  const std::string whole = b.bundle(*b.key);
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    bool given = false;
    write_file_atomic(b.folder.path / "bundle", whole.substr(0, cut));
    CHECK_THROWS_AS((void)read_bundle(b.folder.path / "bundle", {b.key->public_pem()},
                                      [&](const std::string&, CachedObject) { given = true; }),
                    Error);
    CHECK_FALSE(given);
  }
  CHECK_THROWS_AS((void)b.read(whole + "x"), Error);
}

TEST_CASE("a flipped byte is refused, or is one that nothing was signed over") {
  Builder b;
  const std::string whole = b.bundle(*b.key);
  const auto good = b.read(whole);
  std::size_t refused = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    try {
      const auto read = b.read(flipped);
      CHECK(read == good);
    } catch (const Error&) {
      ++refused;
    }
  }
  // A signature's key id is a hint, and the last character of a signature in base64 has bits that mean nothing.
  CHECK(refused + 64 >= whole.size());
}

TEST_CASE("a signed statement that claims more than the file holds, or is of something else, is refused") {
  Builder b;
  const auto signed_by = [&](const std::string& payload, const std::string& rest) {
    const std::string envelope = sign_envelope(*b.key, payload);
    return "kiln-objects/1 " + std::to_string(envelope.size()) + "\n" + envelope + "\n" + rest;
  };
  const std::string entry = write_entry(sha256_hex("a"), {"about", "object"});
  const auto statement = [&](const std::string& type, const std::string& digest, const std::string& sizes) {
    return R"({"_type":"https://in-toto.io/Statement/v1","subject":[{"name":")" + sha256_hex("a") +
           R"(","digest":{"sha256":")" + digest + R"("}}],"predicateType":")" + type +
           R"(","predicate":{"about":{},"bytes":[)" + sizes + "]}}";
  };
  const std::string type = "https://kiln/objects/v1", size = std::to_string(entry.size());
  CHECK(b.read(signed_by(statement(type, sha256_hex(entry), size), entry)).size() == 1);
  CHECK_THROWS_AS((void)b.read(signed_by(statement("another", sha256_hex(entry), size), entry)), Error);
  CHECK_THROWS_AS((void)b.read(signed_by(statement(type, sha256_hex("x"), size), entry)), Error);
  for (const std::string sizes : {"-1", "9000000000000000000", "1", "", "1,1"})
    CHECK_THROWS_AS((void)b.read(signed_by(statement(type, sha256_hex(entry), sizes), entry)), Error);
  CHECK_THROWS_AS((void)b.read("kiln-objects/1 99999999999\n"), Error);
  CHECK_THROWS_AS((void)b.read("kiln-objects/1 -5\n"), Error);
}
