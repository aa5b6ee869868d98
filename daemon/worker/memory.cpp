#include "daemon/worker/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/base/error.h"

namespace kiln::worker {

Mapped::Mapped(int fd, Access access, std::size_t limit_bytes) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw system_error("cannot look at a memory file", errno);
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > limit_bytes)
    throw Error(ErrorCode::limit, "cannot map a memory file: it has " + std::to_string(size) + " bytes");
  if (size == 0) return;
  const bool write = access == Access::write;
  void* address =
      ::mmap(nullptr, size, write ? PROT_READ | PROT_WRITE : PROT_READ, write ? MAP_SHARED : MAP_PRIVATE, fd, 0);
  if (address == MAP_FAILED) throw system_error("cannot map a memory file", errno);
  data_ = static_cast<std::byte*>(address);
  size_ = size;
}

Mapped Mapped::received(int fd, std::size_t limit_bytes) {
  constexpr int kNeeded = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  const int seals = ::fcntl(fd, F_GET_SEALS);  // fails for anything but a memory file
  if (seals < 0 || (seals & kNeeded) != kNeeded)
    throw Error(ErrorCode::corrupt, "cannot accept a worker's file: it is not a sealed memory file");
  return Mapped(fd, Access::read, limit_bytes);
}

void Mapped::drop(std::span<const std::byte> part) const {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t begin = (static_cast<std::size_t>(part.data() - data_) + page - 1) / page * page;
  const std::size_t end = static_cast<std::size_t>(part.data() - data_ + part.size()) / page * page;
  if (begin < end) (void)::madvise(data_ + begin, end - begin, MADV_DONTNEED);  // an economy: it may fail
}

Mapped::~Mapped() {
  if (data_) ::munmap(data_, size_);
}

Mapped::Mapped(Mapped&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapped& Mapped::operator=(Mapped&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

UniqueFd memory_file(const char* name, std::size_t bytes) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    throw system_error("cannot make a memory file", errno);
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)
    throw system_error("cannot seal a memory file", errno);
  return fd;
}

UniqueFd sealed_file(const char* name, std::span<const std::byte> content) {
  UniqueFd fd = memory_file(name, content.size());
  if (!content.empty()) {
    Mapped mapping(fd.get(), Mapped::Access::write);
    std::memcpy(mapping.writable().data(), content.data(), content.size());
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) != 0)
    throw system_error("cannot seal a memory file", errno);
  return fd;
}

}  // namespace kiln::worker
