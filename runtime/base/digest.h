// SHA-256 in the lower-case hex form used everywhere in Kiln.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace kiln {

[[nodiscard]] std::string sha256_hex(std::span<const std::byte> bytes);
[[nodiscard]] std::string sha256_hex(std::string_view text);

// Streaming form. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::span<const std::byte> bytes);
  [[nodiscard]] std::string finish_hex();  // once
 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln
