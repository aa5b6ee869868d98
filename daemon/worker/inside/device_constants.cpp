#include "daemon/worker/inside/device_constants.h"

#include <fcntl.h>

#include <cerrno>

#include "daemon/worker/memory.h"
#include "runtime/base/error.h"
#include "runtime/base/unique_fd.h"

namespace kiln::worker {
namespace {

constexpr std::size_t kFewBytes = std::size_t{1} << 20;  // that reach the device in the time of a few calls
constexpr std::size_t kSparedShare = 8;                  // of the device's memory

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

const void* DeviceConstants::of(const std::string& directory) {
  const std::string path = directory + "/constants.bin";
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) return nullptr;
    throw system_error("cannot open '" + path + "'", errno);
  }
  struct stat file {};
  if (::fstat(fd.get(), &file) != 0) throw system_error("cannot look at '" + path + "'", errno);
  const auto bytes = static_cast<std::size_t>(file.st_size);
  if (bytes < kFewBytes || bytes > static_cast<std::size_t>(gpu_.description().memory_bytes) / kSparedShare)
    return nullptr;
  if (memory_ && same_file(file, file_)) return memory_->pointer();
  memory_.reset();
  const Mapped mapped(fd.get(), Mapped::Access::read);
  try {
    memory_.emplace(gpu_.allocate(bytes));
  } catch (const kiln::cuda::DriverError& error) {
    if (error.code() != ErrorCode::limit) throw;
    return nullptr;  // each candidate takes them from the file
  }
  gpu_.copy_in(memory_->address(), mapped.bytes());
  file_ = file;
  return memory_->pointer();
}

}  // namespace kiln::worker
