#include <fcntl.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <cerrno>

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "store/signing/openssl.h"
#include "store/signing/signing.h"

namespace kiln::store {
namespace {

class PemKey : public SigningKey {
 public:
  explicit PemKey(EvpKey key)
      : key_(std::move(key)),
        algorithm_(is_ed25519(key_.get()) ? "ed25519" : "ecdsa-p256-sha256"),
        fingerprint_(fingerprint_of(key_.get())),
        public_pem_(public_key_to_pem(key_.get())),
        public_ssh_((is_ed25519(key_.get()) ? "ssh-ed25519 " : "ecdsa-sha2-nistp256 ") + base64(ssh_wire(key_.get()))) {
  }

  [[nodiscard]] const std::string& algorithm() const override { return algorithm_; }
  [[nodiscard]] const std::string& fingerprint() const override { return fingerprint_; }
  [[nodiscard]] const std::string& public_pem() const override { return public_pem_; }
  [[nodiscard]] const std::string& public_ssh() const override { return public_ssh_; }
  [[nodiscard]] std::string sign(std::string_view message) const override { return sign_message(key_.get(), message); }

 private:
  const EvpKey key_;
  const std::string algorithm_, fingerprint_, public_pem_, public_ssh_;
};

EvpKey load(const std::filesystem::path& pem) {
  struct stat status{};
  if (::stat(pem.c_str(), &status) != 0) throw system_error("cannot read the key '" + pem.string() + "'", errno);
  if ((status.st_mode & 077) != 0)
    throw Error(ErrorCode::permission, "cannot use the key '" + pem.string() + "': others than its owner can read it",
                "chmod 0400 " + pem.string());
  const std::string text = read_file(pem, 64 << 10);
  const Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  EvpKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (!key) throw openssl_error(ErrorCode::corrupt, "cannot read the key '" + pem.string() + "'");
  if (!is_ed25519(key.get()) && EVP_PKEY_is_a(key.get(), "EC") != 1)
    throw Error(ErrorCode::unsupported,
                "cannot use the key '" + pem.string() + "': it is neither Ed25519 nor ECDSA P-256");
  return key;
}

// Ed25519 is not approved in the FIPS modules of OpenSSL 3.0 and 3.1; such a host gets P-256.
EvpKey create() {
  const bool fips = EVP_default_properties_is_fips_enabled(nullptr) == 1;
  EvpKey key(fips ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")
                  : EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!key) throw openssl_error(ErrorCode::internal, "cannot make a signing key");
  return key;
}

}  // namespace

std::unique_ptr<SigningKey> SigningKey::load_or_create(const std::filesystem::path& pem) {
  if (std::filesystem::exists(pem)) return std::make_unique<PemKey>(load(pem));
  EvpKey key = create();
  const Bio bio(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    throw openssl_error(ErrorCode::internal, "cannot write the signing key");
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  write_file_atomic(pem, {text, static_cast<std::size_t>(size)}, 0400);
  return std::make_unique<PemKey>(std::move(key));
}

}  // namespace kiln::store
