#include <set>

#include "runtime/base/json.h"
#include "store/signing/openssl.h"
#include "store/signing/signing.h"

namespace kiln::store {
namespace {

constexpr std::size_t kLimitBytes = 24u << 20;  // a payload of 16 MiB in base64

[[noreturn]] void refuse(const std::string& cause) {
  throw Error(ErrorCode::corrupt, "cannot verify the envelope: " + cause);
}

}  // namespace

std::string pre_authentication_encoding(std::string_view payload_type, std::string_view payload) {
  std::string out = "DSSEv1 ";
  out += std::to_string(payload_type.size()) + " ";
  out.append(payload_type);
  out += " " + std::to_string(payload.size()) + " ";
  out.append(payload);
  return out;
}

std::string sign_envelope(const SigningKey& key, std::string_view payload) {
  const json::object envelope{
      {"payloadType", kPayloadType},
      {"payload", base64(payload)},
      {"signatures",
       json::array{json::object{{"keyid", key.fingerprint()},
                                {"sig", base64(key.sign(pre_authentication_encoding(kPayloadType, payload)))}}}}};
  return json::pretty(envelope);
}

std::string sign_ssh(const SigningKey& key, std::string_view message, std::string_view ssh_namespace) {
  // PROTOCOL.sshsig: what is signed is not the message but its hash, bound to the namespace.
  std::string hash(64, '\0');
  std::size_t size = 0;
  if (EVP_Q_digest(nullptr, "SHA512", nullptr, message.data(), message.size(),
                   reinterpret_cast<unsigned char*>(hash.data()), &size) != 1)
    throw openssl_error(ErrorCode::internal, "cannot hash");
  const std::string bound = ssh_string(ssh_namespace) + ssh_string("") + ssh_string("sha512");
  const std::string raw = key.sign("SSHSIG" + bound + ssh_string(hash));

  std::string signature;
  if (key.algorithm() == "ed25519") {
    signature = ssh_string("ssh-ed25519") + ssh_string(raw);
  } else {
    // RFC 5656: r and s as mpints, where OpenSSL gives a DER sequence of two integers, which are the same bytes.
    const auto integer_at = [&](std::size_t at) { return raw.substr(at + 2, static_cast<unsigned char>(raw[at + 1])); };
    const std::string r = integer_at(2);
    const std::string s = integer_at(2 + 2 + r.size());
    signature = ssh_string("ecdsa-sha2-nistp256") + ssh_string(ssh_string(r) + ssh_string(s));
  }
  const std::string wire = from_base64(key.public_ssh().substr(key.public_ssh().find(' ') + 1), "the public key");
  const std::string blob =
      std::string("SSHSIG") + std::string("\0\0\0\1", 4) + ssh_string(wire) + bound + ssh_string(signature);
  const std::string body = base64(blob);
  std::string armour = "-----BEGIN SSH SIGNATURE-----\n";
  for (std::size_t i = 0; i < body.size(); i += 70) armour += body.substr(i, 70) + "\n";
  return armour + "-----END SSH SIGNATURE-----\n";
}

std::string sign_note(const SigningKey& key, std::string_view text) {
  const std::string name(text.substr(0, text.find('\n')));
  const EvpKey public_key = public_key_from_pem(key.public_pem());
  const std::string wire = ssh_wire(public_key.get());
  const bool ed25519 = is_ed25519(public_key.get());
  const std::string raw = wire.substr(wire.size() - (ed25519 ? 32 : 65));
  std::string id(32, '\0');
  std::size_t size = 0;
  const std::string identity = name + "\n" + (ed25519 ? '\x01' : '\x02') + raw;
  if (EVP_Q_digest(nullptr, "SHA256", nullptr, identity.data(), identity.size(),
                   reinterpret_cast<unsigned char*>(id.data()), &size) != 1)
    throw openssl_error(ErrorCode::internal, "cannot hash");
  return std::string(text) + "\n\u2014 " + name + " " + base64(id.substr(0, 4) + key.sign(text)) + "\n";
}

Verified verify_envelope(std::string_view text, const std::vector<std::string>& public_pems) {
  const json::value parsed = json::parse(text, "the envelope", {.bytes = kLimitBytes, .depth = 8});
  const json::object& envelope = json::as_object(parsed, "the envelope");
  if (json::get_string(envelope, "payloadType", "the envelope") != kPayloadType)
    refuse("its payloadType is not " + std::string(kPayloadType));
  const std::string payload = from_base64(json::get_string(envelope, "payload", "the envelope"), "the payload");
  const json::array& signatures = json::as_array(json::at(envelope, "signatures", "the envelope"), "the signatures");
  if (signatures.empty()) refuse("it has no signature");
  if (signatures.size() > 16) refuse("it has more than 16 signatures");

  const std::string message = pre_authentication_encoding(kPayloadType, payload);
  for (const json::value& item : signatures) {
    const std::string signature =
        from_base64(json::get_string(json::as_object(item, "a signature"), "sig", "a signature"), "a signature");
    for (const std::string& pem : public_pems) {
      const EvpKey key = public_key_from_pem(pem);
      if (verify_signature(key.get(), message, signature)) return {payload, fingerprint_of(key.get())};
    }
  }
  refuse("no signature in it was made by " +
         std::string(public_pems.size() == 1 ? "the given key" : "one of the given keys") + " over this payload");
}

}  // namespace kiln::store
