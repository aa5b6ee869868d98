// Owner of one private memory mapping: an arena of zeroed pages, or the read-only pages of a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace kiln::runtime {

class Mapping {
 public:
  Mapping() = default;
  // Zeroed, page-aligned, taken from the system when first touched. Failure(KILN_E_MEMORY).
  static Mapping arena(std::int64_t bytes);
  // `path` below the folder `directory`: a regular file of exactly `bytes` bytes, no symbolic link. Failure(KILN_E_IO).
  static Mapping file(int directory, const std::string& path, std::int64_t bytes);

  Mapping(Mapping&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping();

  [[nodiscard]] std::byte* data() const { return base_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {base_, size_}; }
  void make_read_only() const;

 private:
  std::byte* base_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace kiln::runtime
