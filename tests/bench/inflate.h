// Recorded spaces are compressed with gzip.
#pragma once

#include <fmt/format.h>
#include <zlib.h>

#include <string>
#include <vector>

#include "runtime/base/error.h"

namespace kiln::testing {

[[nodiscard]] inline std::string inflate(const char* path) {
  gzFile file = gzopen(path, "rb");
  if (!file) throw Error(ErrorCode::io, fmt::format("cannot open '{}'", path));
  std::string text;
  std::vector<char> buffer(1 << 20);
  int got = 0;
  while ((got = gzread(file, buffer.data(), static_cast<unsigned>(buffer.size()))) > 0)
    text.append(buffer.data(), static_cast<std::size_t>(got));
  gzclose(file);
  if (got < 0) throw Error(ErrorCode::corrupt, fmt::format("cannot inflate '{}'", path));
  return text;
}

}  // namespace kiln::testing
