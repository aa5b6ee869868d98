#include "store/object_bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/unique_fd.h"

namespace kiln::store {
namespace {

constexpr std::string_view kMagic = "kiln-objects/1 ";
constexpr std::string_view kPredicateType = "https://kiln/objects/v1";
constexpr std::int64_t kMostHead = 32;                // bytes of the first line
constexpr std::int64_t kMostEnvelope = 64 << 20;
constexpr std::int64_t kMostEntry = 272 << 20;

Error damaged(const std::string& cause) {
  return Error(ErrorCode::corrupt, "cannot use the bundle of code objects: " + cause,
               "build it again, or copy it again");
}

class File {
 public:
  explicit File(const std::filesystem::path& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat status {};
    if (!fd_ || ::fstat(fd_.get(), &status) != 0) throw system_error("cannot open '" + path.string() + "'", errno);
    size_ = status.st_size;
  }
  [[nodiscard]] std::int64_t size() const { return size_; }
  // Those bytes, all of them.
  [[nodiscard]] std::string at(std::int64_t offset, std::int64_t bytes) const {
    if (offset > size_ || bytes > size_ - offset) throw damaged("it ends early");
    std::string out(static_cast<std::size_t>(bytes), '\0');
    for (std::size_t done = 0; done < out.size();) {
      const ssize_t n = ::pread(fd_.get(), out.data() + done, out.size() - done, offset + static_cast<off_t>(done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw system_error("cannot read the bundle of code objects", errno);
      if (n == 0) throw damaged("it ends early");
      done += static_cast<std::size_t>(n);
    }
    return out;
  }

 private:
  UniqueFd fd_;
  std::int64_t size_ = 0;
};

struct Entry {
  std::string recipe, digest;
  std::int64_t offset = 0, bytes = 0;
};

struct Head {
  BundleContent content;
  std::vector<Entry> entries;
};

// "kiln-objects/1 N\n": N and where the envelope begins.
std::pair<std::int64_t, std::int64_t> envelope_place(const File& file) {
  const std::string head = file.at(0, std::min(kMostHead, file.size()));
  const auto end = head.find('\n');
  if (!head.starts_with(kMagic) || end == std::string::npos) throw damaged("it does not begin as one");
  std::int64_t bytes = -1;
  const char* const last = head.data() + end;
  const auto [stopped, error] = std::from_chars(head.data() + kMagic.size(), last, bytes);
  if (error != std::errc() || stopped != last || bytes < 0) throw damaged("its first line is not readable");
  if (bytes > kMostEnvelope)
    throw Error(ErrorCode::limit, "cannot use the bundle of code objects: its envelope is larger than " +
                                      std::to_string(kMostEnvelope) + " bytes");
  return {bytes, static_cast<std::int64_t>(end) + 1};
}

Head read_head(const File& file, const std::vector<std::string>& public_pems) {
  const auto [bytes, begin] = envelope_place(file);
  const Verified verified = verify_envelope(file.at(begin, bytes), public_pems);
  if (file.at(begin + bytes, 1) != "\n") throw damaged("its envelope does not end where it should");
  constexpr std::string_view what = "the statement of a bundle";
  const json::value parsed = json::parse(verified.payload, what, {.bytes = kMostEnvelope, .depth = 16});
  const json::object& statement = json::as_object(parsed, what);
  if (json::get_string(statement, "predicateType", what) != kPredicateType)
    throw damaged("what was signed is no statement of code objects");
  const json::object& predicate = json::as_object(json::at(statement, "predicate", what), what);
  const json::array& subjects = json::as_array(json::at(statement, "subject", what), what);
  const std::vector<std::int64_t> sizes = json::get_ints(predicate, "bytes", what);
  if (sizes.size() != subjects.size()) throw damaged("its statement has another number of sizes than of objects");
  Head head;
  head.content.signer = verified.keyid;
  head.content.about = json::as_object(json::at(predicate, "about", what), what);
  std::int64_t offset = begin + bytes + 1;
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    const json::object& subject = json::as_object(subjects[i], what);
    Entry entry{json::get_string(subject, "name", what),
                json::get_string(json::as_object(json::at(subject, "digest", what), what), "sha256", what), offset,
                sizes[i]};
    if (entry.bytes < 0 || entry.bytes > kMostEntry || entry.bytes > file.size() - offset)
      throw damaged("it ends early");
    offset += entry.bytes;
    head.content.bytes += entry.bytes;
    head.entries.push_back(std::move(entry));
  }
  if (offset != file.size()) throw damaged("there is more in it than was signed");
  head.content.objects = static_cast<std::int64_t>(head.entries.size());
  return head;
}

CachedObject verified_entry(const File& file, const Entry& entry) {
  const std::string bytes = file.at(entry.offset, entry.bytes);
  const std::string name = "object " + entry.recipe.substr(0, 80);
  if (sha256_hex(bytes) != entry.digest) throw damaged(name + " is not what was signed");
  std::optional<CachedObject> read = read_entry(entry.recipe, bytes);
  if (!read) throw damaged(name + " is not readable");
  return std::move(*read);
}

}  // namespace

void write_bundle(const SigningKey& key, const json::object& about, std::span<const std::string> recipes,
                  const std::function<CachedObject(const std::string& recipe)>& entry_of,
                  const std::function<void(std::string_view)>& sink) {
  json::array subjects, sizes;
  for (const std::string& recipe : recipes) {
    const std::string bytes = write_entry(recipe, entry_of(recipe));
    subjects.emplace_back(json::object{{"name", recipe}, {"digest", json::object{{"sha256", sha256_hex(bytes)}}}});
    sizes.emplace_back(bytes.size());
  }
  const json::object statement{{"_type", "https://in-toto.io/Statement/v1"},
                               {"subject", std::move(subjects)},
                               {"predicateType", kPredicateType},
                               {"predicate", json::object{{"about", about}, {"bytes", std::move(sizes)}}}};
  const std::string envelope = sign_envelope(key, json::canonical(statement));
  sink(std::string(kMagic) + std::to_string(envelope.size()) + "\n");
  sink(envelope);
  sink("\n");
  for (const std::string& recipe : recipes) sink(write_entry(recipe, entry_of(recipe)));
}

BundleContent read_bundle(const std::filesystem::path& path, const std::vector<std::string>& public_pems,
                          const std::function<void(const std::string& recipe, CachedObject entry)>& take) {
  const File file(path);
  Head head = read_head(file, public_pems);
  for (const Entry& entry : head.entries) (void)verified_entry(file, entry);
  for (const Entry& entry : head.entries) take(entry.recipe, verified_entry(file, entry));
  return std::move(head.content);
}

}  // namespace kiln::store
