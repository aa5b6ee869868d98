#include "runtime/folder.h"

#include <fcntl.h>

#include <cerrno>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/failure.h"

namespace kiln::runtime {
namespace {

void verify(const Mapping& file, const FileEntry& entry) {
  if (sha256_hex(file.bytes()) != entry.sha256)
    throw Failure(KILN_E_DIGEST, "cannot use '" + entry.path + "': its SHA-256 is not what the manifest says");
}

void verify_all(int directory, const Manifest& manifest) {
  for (const FileEntry& entry : manifest.files) verify(Mapping::file(directory, entry.path, entry.bytes), entry);
}

Plan load_plan(int directory, const Manifest& manifest) {
  const FileEntry& entry = *manifest.find(manifest.plan);
  const Mapping file = Mapping::file(directory, entry.path, entry.bytes);
  verify(file, entry);
  return parse_plan({reinterpret_cast<const char*>(file.data()), file.bytes().size()});
}

// The manifest's entry of a file that the plan names by digest.
const FileEntry& entry_of(const Manifest& manifest, const std::string& path, const std::string& digest) {
  const FileEntry* entry = manifest.find(path);
  if (!entry || entry->sha256 != digest)
    throw Failure(KILN_E_FORMAT,
                  "cannot use the plan: the manifest does not list '" + path + "' with the plan's digest");
  return *entry;
}

}  // namespace

const FileEntry& Folder::object(const std::string& digest) const {
  return entry_of(manifest, "objects/" + digest + (plan.target == Target::cpu ? ".so" : ".cubin"), digest);
}

Mapping Folder::constants() const {
  if (plan.constants_bytes == 0) return {};
  const FileEntry& entry = entry_of(manifest, "constants.bin", plan.constants);
  if (entry.bytes != plan.constants_bytes)
    throw Failure(KILN_E_FORMAT, "cannot use the plan: constants.bin has another size than it says");
  return Mapping::file(fd.get(), entry.path, entry.bytes);
}

Folder open_folder(const std::filesystem::path& directory, bool verify_digests) {
  Folder out;
  out.path = directory;
  out.fd = UniqueFd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!out.fd)
    throw Failure(KILN_E_IO, system_error("cannot open release '" + directory.string() + "'", errno).what());
  const std::string text = read_file(directory / "manifest.json", 64u << 20);
  out.id = sha256_hex(text);
  out.manifest = parse_manifest(text);
  out.plan = load_plan(out.fd.get(), out.manifest);
  if (verify_digests) verify_all(out.fd.get(), out.manifest);
  return out;
}

}  // namespace kiln::runtime
