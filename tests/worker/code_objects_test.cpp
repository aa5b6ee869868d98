#include "daemon/worker/inside/code_objects.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "tests/temporary_folder.h"

using namespace kiln;

TEST_CASE("a folder of which a file cannot be read is not taken for one of plain kernels at the second asking") {
  const test::TemporaryFolder folder;
  std::filesystem::create_directories(folder.path / "objects/unreadable.so");  // a folder, which nobody reads
  worker::CodeObjects objects;
  for (int time = 0; time < 2; ++time) CHECK_THROWS_AS((void)objects.load(folder.path), Error);
  std::filesystem::remove_all(folder.path / "objects/unreadable.so");
  write_file_atomic(folder.path / "objects/text.so", "no object at all");
  CHECK(objects.load(folder.path));
  CHECK(objects.load(folder.path));
}
