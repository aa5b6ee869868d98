#include "store/signing/openssl.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>

#include <array>

#include "runtime/base/error.h"

namespace kiln::store {
namespace {

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

std::string raw_sha256(std::string_view message) {
  std::string digest(32, '\0');
  std::size_t size = 0;
  if (EVP_Q_digest(nullptr, "SHA256", nullptr, message.data(), message.size(),
                   reinterpret_cast<unsigned char*>(digest.data()), &size) != 1)
    throw openssl_error(ErrorCode::internal, "cannot hash");
  return digest;
}

}  // namespace

std::string base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3), '\0');
  // EVP_EncodeBlock also writes a terminating NUL, for which std::string has room.
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes_of(bytes), static_cast<int>(bytes.size()));
  return out;
}

std::string from_base64(std::string_view text, std::string_view what) {
  const auto fail = [&](const std::string& cause) {
    throw Error(ErrorCode::invalid_input, "cannot decode " + std::string(what) + " from base64: " + cause);
  };
  std::string body(text);
  while (!body.empty() && body.back() == '=') body.pop_back();
  if (text.size() - body.size() > 2) fail("more than two '=' at its end");
  if (text.size() != body.size() && text.size() % 4 != 0) fail("its padding does not fit its length");
  std::string out;
  unsigned buffer = 0;
  int bits = 0;
  for (std::size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    int value = -1;
    if (c >= 'A' && c <= 'Z') value = c - 'A';
    else if (c >= 'a' && c <= 'z') value = c - 'a' + 26;
    else if (c >= '0' && c <= '9') value = c - '0' + 52;
    else if (c == '+' || c == '-') value = 62;
    else if (c == '/' || c == '_') value = 63;
    if (value < 0) fail("a byte at " + std::to_string(i) + " is outside its alphabet");
    buffer = (buffer << 6) | static_cast<unsigned>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>((buffer >> bits) & 0xff);
    }
  }
  if (bits >= 6) fail("its length is impossible");
  if ((buffer & ((1u << bits) - 1)) != 0) fail("its last byte has stray bits");
  return out;
}

std::string ssh_string(std::string_view bytes) {
  const auto size = static_cast<std::uint32_t>(bytes.size());
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>((size >> shift) & 0xff);
  return out.append(bytes);
}

bool is_ed25519(const EVP_PKEY* key) { return EVP_PKEY_is_a(key, "ED25519") == 1; }

std::string ssh_wire(EVP_PKEY* key) {
  std::array<unsigned char, 133> raw{};
  std::size_t size = raw.size();
  if (is_ed25519(key)) {
    if (EVP_PKEY_get_raw_public_key(key, raw.data(), &size) != 1)
      throw openssl_error(ErrorCode::corrupt, "cannot read the public key");
    return ssh_string("ssh-ed25519") + ssh_string({reinterpret_cast<const char*>(raw.data()), size});
  }
  if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, raw.data(), raw.size(), &size) != 1)
    throw openssl_error(ErrorCode::corrupt, "cannot read the public key");
  return ssh_string("ecdsa-sha2-nistp256") + ssh_string("nistp256") +
         ssh_string({reinterpret_cast<const char*>(raw.data()), size});
}

std::string fingerprint_of(EVP_PKEY* key) {
  std::string text = base64(raw_sha256(ssh_wire(key)));
  while (text.back() == '=') text.pop_back();
  return "SHA256:" + text;
}

EvpKey public_key_from_pem(std::string_view pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  EvpKey key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (!key) throw openssl_error(ErrorCode::invalid_input, "cannot read the public key");
  if (!is_ed25519(key.get()) && EVP_PKEY_is_a(key.get(), "EC") != 1)
    throw Error(ErrorCode::unsupported, "cannot use the public key: it is neither Ed25519 nor ECDSA P-256");
  return key;
}

std::string public_key_to_pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PUBKEY(bio.get(), key) != 1)
    throw openssl_error(ErrorCode::internal, "cannot write the public key");
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

bool verify_signature(EVP_PKEY* key, std::string_view message, std::string_view signature) {
  const EvpDigestContext context(EVP_MD_CTX_new());
  const EVP_MD* digest = is_ed25519(key) ? nullptr : EVP_sha256();
  const bool good =
      EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key) == 1 &&
      EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message), message.size()) == 1;
  ERR_clear_error();
  return good;
}

std::string sign_message(EVP_PKEY* key, std::string_view message) {
  const EvpDigestContext context(EVP_MD_CTX_new());
  const EVP_MD* digest = is_ed25519(key) ? nullptr : EVP_sha256();
  std::size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes_of(message), message.size()) != 1)
    throw openssl_error(ErrorCode::internal, "cannot sign");
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes_of(message),
                     message.size()) != 1)
    throw openssl_error(ErrorCode::internal, "cannot sign");
  signature.resize(size);
  return signature;
}

}  // namespace kiln::store
