// A bundle: code objects that one node built for another, in one file that the builder signed.
//
//   kiln-objects/1 ENVELOPE_BYTES\n
//   the envelope (DSSE), of that many bytes, then \n
//   the entries (store/object_cache.h), one after the other, to the end of the file
//
// The envelope's payload is an in-toto statement: a subject for each entry, in order, named by its recipe with the
// SHA-256 of the entry's bytes; predicateType "https://kiln/objects/v1", predicate {"about", "bytes": one for each}.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/json.h"
#include "store/object_cache.h"
#include "store/signing/signing.h"

namespace kiln::store {

// Writes the file piece by piece to `sink`. `entry_of` is asked for each recipe twice, and must answer alike.
void write_bundle(const SigningKey& key, const json::object& about, std::span<const std::string> recipes,
                  const std::function<CachedObject(const std::string& recipe)>& entry_of,
                  const std::function<void(std::string_view)>& sink);

struct BundleContent {
  std::string signer;  // the fingerprint that the envelope names
  json::object about;
  std::int64_t objects = 0, bytes = 0;
};

// Reads the file twice: all of it is verified, signature, sizes and digests, before `take` gets the first entry, one at
// a time. Throws Error(corrupt) for anything that is not what one of `public_pems` signed, Error(limit) for more than
// a bundle may hold, and whatever `take` throws.
[[nodiscard]] BundleContent read_bundle(const std::filesystem::path& file, const std::vector<std::string>& public_pems,
                                        const std::function<void(const std::string& recipe, CachedObject entry)>& take);

}  // namespace kiln::store
