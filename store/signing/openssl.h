// Owners of OpenSSL's objects, and its errors as ours.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <memory>
#include <string>

#include "runtime/base/error.h"

namespace kiln::store {

template <auto Free>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const { Free(object); }
};
using EvpKey = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using EvpKeyContext = std::unique_ptr<EVP_PKEY_CTX, OpensslFree<EVP_PKEY_CTX_free>>;
using EvpDigestContext = std::unique_ptr<EVP_MD_CTX, OpensslFree<EVP_MD_CTX_free>>;
using Bio = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;

// Takes the last entry of OpenSSL's queue and clears the rest.
[[nodiscard]] inline Error openssl_error(ErrorCode code, const std::string& message) {
  char text[256] = "unknown cause";
  if (const unsigned long last = ERR_peek_last_error()) ERR_error_string_n(last, text, sizeof text);
  ERR_clear_error();
  return Error(code, message + ": " + text);
}

[[nodiscard]] std::string base64(std::string_view bytes);  // RFC 4648 section 4, padded, one line
// Standard or URL-safe alphabet, padded or not; anything else throws Error(invalid_input) naming `what`.
[[nodiscard]] std::string from_base64(std::string_view text, std::string_view what);

// SSH wire encoding of a public key (RFC 4253 section 6.6, RFC 8709, RFC 5656).
[[nodiscard]] std::string ssh_wire(EVP_PKEY* key);
[[nodiscard]] std::string ssh_string(std::string_view bytes);  // 32-bit big-endian length, then the bytes
[[nodiscard]] std::string fingerprint_of(EVP_PKEY* key);       // "SHA256:" and unpadded base64, as ssh-keygen -l prints

[[nodiscard]] EvpKey public_key_from_pem(std::string_view pem);
[[nodiscard]] std::string public_key_to_pem(EVP_PKEY* key);
[[nodiscard]] bool verify_signature(EVP_PKEY* key, std::string_view message, std::string_view signature);
[[nodiscard]] std::string sign_message(EVP_PKEY* key, std::string_view message);
[[nodiscard]] bool is_ed25519(const EVP_PKEY* key);

}  // namespace kiln::store
