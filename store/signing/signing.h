// The node's keys and its signatures: in-toto Statement v1 in a DSSE envelope, plus an OpenSSH signature (SSHSIG) over
// the same payload; both verify with stock tools. Formats: DSSE 1.0.2 protocol.md, in-toto attestation spec v1, OpenSSH
// PROTOCOL.sshsig. Ed25519 by default, ECDSA P-256 where OpenSSL runs in FIPS mode.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>


namespace kiln::store {

class SigningKey {
 public:
  // PKCS#8 PEM, mode 0400; made when missing. Refuses a file that others can read.
  static std::unique_ptr<SigningKey> load_or_create(const std::filesystem::path& pem);
  virtual ~SigningKey() = default;
  [[nodiscard]] virtual const std::string& algorithm() const = 0;    // "ed25519" or "ecdsa-p256-sha256"
  [[nodiscard]] virtual const std::string& fingerprint() const = 0;  // OpenSSH form "SHA256:..."; the keyid
  [[nodiscard]] virtual const std::string& public_pem() const = 0;
  [[nodiscard]] virtual const std::string& public_ssh() const = 0;   // "ssh-ed25519 AAAA..."
  [[nodiscard]] virtual std::string sign(std::string_view message) const = 0;
};

inline constexpr std::string_view kPayloadType = "application/vnd.in-toto+json";
inline constexpr std::string_view kSshNamespace = "tuning-report@kiln";

[[nodiscard]] std::string pre_authentication_encoding(std::string_view payload_type, std::string_view payload);
// The envelope as JSON text.
[[nodiscard]] std::string sign_envelope(const SigningKey& key, std::string_view payload);
[[nodiscard]] std::string sign_ssh(const SigningKey& key, std::string_view message, std::string_view ssh_namespace);

// A signed note (C2SP signed-note.md) over `text`, whose first line is the signer's name: the text, an empty line, and
// one signature line "— NAME BASE64(key id, signature)", where the key id is the first 4 bytes of SHA-256(name,
// newline, 01, key). For an ECDSA key the type byte is 02.
[[nodiscard]] std::string sign_note(const SigningKey& key, std::string_view text);

struct Verified {
  std::string payload;  // the very bytes that were verified
  std::string keyid;
};
// Needs one good signature by one of `public_pems`; keyid decides nothing. Throws Error(corrupt) with what is wrong.
[[nodiscard]] Verified verify_envelope(std::string_view envelope, const std::vector<std::string>& public_pems);

}  // namespace kiln::store
