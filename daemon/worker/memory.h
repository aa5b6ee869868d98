// Memory files: how tensors, objects and graphs travel between processes.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "runtime/base/unique_fd.h"

namespace kiln::worker {

// A mapping of a memory file; ends with its scope.
class Mapped {
 public:
  enum class Access { read, write };
  Mapped() = default;
  // The whole file; at most limit_bytes. Throws Error(io | limit).
  Mapped(int fd, Access access, std::size_t limit_bytes = std::size_t{1} << 36);
  // A file that a worker sent. Throws Error(corrupt) unless it is sealed: a file that can still shrink would end the
  // process that reads it by SIGBUS, at a moment of the sender's choosing.
  [[nodiscard]] static Mapped received(int fd, std::size_t limit_bytes);
  ~Mapped();
  Mapped(Mapped&& other) noexcept;
  Mapped& operator=(Mapped&& other) noexcept;
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] std::span<std::byte> writable() { return {data_, size_}; }
  // Drops the whole pages of a part from this process's memory; who touches them reads the file again. Of a mapping for
  // reading only.
  void drop(std::span<const std::byte> part) const;
  [[nodiscard]] std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

[[nodiscard]] UniqueFd memory_file(const char* name,
                                   std::size_t bytes);  // zero-filled, of that size, cannot shrink or grow
[[nodiscard]] UniqueFd sealed_file(const char* name,
                                   std::span<const std::byte> content);  // nobody can change it any more
[[nodiscard]] inline UniqueFd sealed_file(const char* name, std::string_view text) {
  return sealed_file(name, std::as_bytes(std::span(text)));
}

}  // namespace kiln::worker
