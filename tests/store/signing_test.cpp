#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "store/signing/openssl.h"
#include "store/signing/signing.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::store;
using kiln::test::TemporaryFolder;

namespace {

// RFC 8032, section 7.1, TEST 1 and TEST 2: secret seeds, public keys and signatures.
constexpr const char* kSeed2 = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
constexpr const char* kPublic2 = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
constexpr const char* kSignature2 =
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb0"
    "0d291612bb0c00";

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return out;
}

// PKCS#8 of an Ed25519 seed: a fixed 16-byte prefix (RFC 8410).
void write_seed(const std::filesystem::path& pem, const char* seed) {
  const std::string der = from_hex("302e020100300506032b657004220420") + from_hex(seed);
  write_file_atomic(pem, "-----BEGIN PRIVATE KEY-----\n" + base64(der) + "\n-----END PRIVATE KEY-----\n", 0400);
}

int shell(const std::string& command) { return ::system((command + " >/dev/null 2>&1").c_str()); }

}  // namespace

TEST_CASE("Ed25519 signatures are those of RFC 8032") {
  const TemporaryFolder folder;
  write_seed(folder.path / "k.pem", kSeed2);
  const auto key = SigningKey::load_or_create(folder.path / "k.pem");
  CHECK(key->sign("\x72") == from_hex(kSignature2));
  CHECK(key->algorithm() == "ed25519");
  const std::string wire = ssh_string("ssh-ed25519") + ssh_string(from_hex(kPublic2));
  CHECK(key->public_ssh() == "ssh-ed25519 " + base64(wire));
}

TEST_CASE("the pre-authentication encoding is that of the DSSE protocol") {
  CHECK(pre_authentication_encoding("http://example.com/HelloWorld", "hello world") ==
        "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
  CHECK(pre_authentication_encoding("", "") == "DSSEv1 0  0 ");
}

TEST_CASE("base64 is that of RFC 4648, section 10, in both alphabets") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(from_base64("Zm9vYg==", "x") == "foob");
  CHECK(from_base64("Zm9vYg", "x") == "foob");
  CHECK(from_base64("-_-_", "x") == from_base64("+/+/", "x"));
  for (const char* bad : {"Z", "Zm9v Yg==", "Zg===", "Zh==", "Zm9v=", "\n"})
    CHECK_THROWS_AS((void)from_base64(bad, "x"), Error);
}

TEST_CASE("a key that others can read is refused, and a made key is 0400 and stays") {
  const TemporaryFolder folder;
  const auto made = SigningKey::load_or_create(folder.path / "k.pem");
  struct stat status{};
  REQUIRE(::stat((folder.path / "k.pem").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0400);
  CHECK(SigningKey::load_or_create(folder.path / "k.pem")->fingerprint() == made->fingerprint());
  REQUIRE(::chmod((folder.path / "k.pem").c_str(), 0440) == 0);
  CHECK_THROWS_AS((void)SigningKey::load_or_create(folder.path / "k.pem"), Error);
}

TEST_CASE("an envelope verifies, under its key only, and not after any one flipped byte") {
  const TemporaryFolder folder;
  write_seed(folder.path / "k.pem", kSeed2);
  const auto key = SigningKey::load_or_create(folder.path / "k.pem");
  const auto other = SigningKey::load_or_create(folder.path / "other.pem");
  const std::string payload = R"({"_type":"https://in-toto.io/Statement/v1"})";
  const std::string envelope = sign_envelope(*key, payload);
  CHECK(verify_envelope(envelope, {key->public_pem()}).payload == payload);
  CHECK(verify_envelope(envelope, {other->public_pem(), key->public_pem()}).keyid == key->fingerprint());
  CHECK_THROWS_AS((void)verify_envelope(envelope, {other->public_pem()}), Error);
  CHECK_THROWS_AS((void)verify_envelope(envelope, {}), Error);

  int refused = 0;
  for (std::size_t i = 0; i < envelope.size(); ++i) {
    std::string bad = envelope;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    std::string accepted = payload;
    try {
      accepted = verify_envelope(bad, {key->public_pem()}).payload;
    } catch (const Error&) {
      ++refused;
    }
    CHECK(accepted ==
          payload);  // what the signature does not cover (white space, keyid) may change; the payload may not
  }
  CHECK(refused > 150);
  for (std::size_t n = 0; n + 1 < envelope.size(); ++n)
    CHECK_THROWS_AS((void)verify_envelope(envelope.substr(0, n), {key->public_pem()}), Error);
}

TEST_CASE("a duplicate member, no signature and a foreign type are refused") {
  const TemporaryFolder folder;
  const auto key = SigningKey::load_or_create(folder.path / "k.pem");
  const std::string payload = base64("x");
  const std::string sig = base64(key->sign(pre_authentication_encoding(kPayloadType, "x")));
  const auto envelope = [&](const std::string& type, const std::string& signatures) {
    return R"({"payloadType":")" + type + R"(","payload":")" + payload + R"(","signatures":[)" + signatures + "]}";
  };
  const std::string good = R"({"sig":")" + sig + R"("})";
  CHECK_NOTHROW((void)verify_envelope(envelope(std::string(kPayloadType), good), {key->public_pem()}));
  CHECK_THROWS_AS((void)verify_envelope(envelope(std::string(kPayloadType), ""), {key->public_pem()}), Error);
  CHECK_THROWS_AS((void)verify_envelope(envelope("application/json", good), {key->public_pem()}), Error);
  std::string twice = envelope(std::string(kPayloadType), good);
  twice.insert(1, R"("payload":"eA==",)");
  CHECK_THROWS_AS((void)verify_envelope(twice, {key->public_pem()}), Error);
}

TEST_CASE("stock openssl and ssh-keygen accept what we sign and refuse it after a flip") {
  const TemporaryFolder folder;
  const auto key = SigningKey::load_or_create(folder.path / "k.pem");
  const std::string message = "a statement\n";
  write_file_atomic(folder.path / "pub.pem", key->public_pem());
  const std::string pae = pre_authentication_encoding(kPayloadType, message);
  write_file_atomic(folder.path / "pae.bin", pae);
  write_file_atomic(folder.path / "sig.bin", key->sign(pae));
  const std::string verify = "cd " + folder.path.string() +
                             " && openssl pkeyutl -verify -pubin -inkey pub.pem -rawin -in pae.bin -sigfile sig.bin";
  CHECK(shell(verify) == 0);
  std::string flipped = pae;
  flipped.back() = '!';
  write_file_atomic(folder.path / "pae.bin", flipped);
  CHECK(shell(verify) != 0);

  if (shell("command -v ssh-keygen") != 0) {
    MESSAGE("ssh-keygen is not installed: its half of this test did not run");
    return;
  }
  write_file_atomic(folder.path / "m", message);
  write_file_atomic(folder.path / "m.sig", sign_ssh(*key, message, kSshNamespace));
  write_file_atomic(folder.path / "allowed", "node " + key->public_ssh() + "\n");
  const std::string ssh = "cd " + folder.path.string() + " && ssh-keygen -Y verify -f allowed -I node -s m.sig -n ";
  CHECK(shell(ssh + std::string(kSshNamespace) + " < m") == 0);
  CHECK(shell(ssh + "another@kiln < m") != 0);
  CHECK(shell("cd " + folder.path.string() + " && echo x >> m; " + ssh + std::string(kSshNamespace) + " < m") != 0);
}
