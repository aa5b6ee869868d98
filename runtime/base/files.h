// Whole-file reads and crash-safe writes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "runtime/base/unique_fd.h"

namespace kiln {

// The whole file as bytes. Error(not_found | io | limit) names the path.
[[nodiscard]] std::string read_file(const std::filesystem::path& path, std::size_t limit_bytes = 1u << 30);

// Writes beside the target, fsyncs, renames over it, fsyncs the folder: readers see the old or the new file, whole.
void write_file_atomic(const std::filesystem::path& path, std::string_view content, unsigned mode = 0644);

void fsync_directory(const std::filesystem::path& directory);

// Writes all bytes or throws Error(io).
void write_all(int fd, std::span<const std::byte> bytes);

}  // namespace kiln
