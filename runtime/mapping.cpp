#include "runtime/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>

#include "runtime/base/unique_fd.h"
#include "runtime/failure.h"

namespace kiln::runtime {
namespace {

// Arenas from this size on ask for huge pages: a matrix product walks them with strides that small pages miss the TLB
// on.
constexpr std::size_t huge_page = 2u << 20;

std::string cause() { return std::generic_category().message(errno); }

}  // namespace

Mapping Mapping::arena(std::int64_t bytes) {
  Mapping m;
  if (bytes == 0) return m;
  const auto size = static_cast<std::size_t>(bytes);
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED)
    throw Failure(KILN_E_MEMORY, "cannot get " + std::to_string(bytes) + " bytes of memory: " + cause());
  if (size >= huge_page) (void)::madvise(base, size, MADV_HUGEPAGE);  // a hint: without it the plan only runs slower
  m.base_ = static_cast<std::byte*>(base);
  m.size_ = size;
  return m;
}

Mapping Mapping::file(int directory, const std::string& path, std::int64_t bytes) {
  const std::string what = "cannot map '" + path + "'";
  const UniqueFd fd(::openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) throw Failure(KILN_E_IO, what + ": " + cause());
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw Failure(KILN_E_IO, what + ": " + cause());
  if (!S_ISREG(info.st_mode)) throw Failure(KILN_E_IO, what + ": it is not a regular file");
  if (info.st_size != bytes)
    throw Failure(KILN_E_DIGEST, what + ": it has " + std::to_string(info.st_size) + " bytes, the manifest says " +
                                     std::to_string(bytes));
  Mapping m;
  if (bytes == 0) return m;
  void* base = ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (base == MAP_FAILED) throw Failure(KILN_E_IO, what + ": " + cause());
  m.base_ = static_cast<std::byte*>(base);
  m.size_ = static_cast<std::size_t>(bytes);
  return m;
}

Mapping::~Mapping() {
  if (base_) (void)::munmap(base_, size_);
}

void Mapping::make_read_only() const {
  if (base_ && ::mprotect(base_, size_, PROT_READ) != 0)
    throw Failure(KILN_E_MEMORY, "cannot protect " + std::to_string(size_) + " bytes: " + cause());
}

}  // namespace kiln::runtime
