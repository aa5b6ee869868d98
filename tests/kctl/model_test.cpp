#include "daemon/kctl/model.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include "runtime/base/files.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::kctl;
namespace fs = std::filesystem;

TEST_CASE("shapes are DIM=EXTENT, each dimension once") {
  CHECK(parse_shapes({"batch=8", "seq=128"}) == std::map<std::string, std::int64_t>{{"batch", 8}, {"seq", 128}});
  for (const char* bad : {"batch", "=8", "batch=", "batch=0", "batch=-1", "batch=8x"})
    CHECK_THROWS_AS((void)parse_shapes({bad}), UsageError);
  CHECK_THROWS_AS((void)parse_shapes({"a=1", "a=1"}), UsageError);
}

TEST_CASE("a file's name becomes a name that the daemon accepts") {
  CHECK(workload_name("/x/My Model (v2).onnx") == "my-model-v2-");
  CHECK(workload_name("block.onnx") == "block");
  CHECK(workload_name("...onnx") == "model");  // its stem is ".."
  CHECK(workload_name(std::string(200, 'a') + ".onnx").size() == 64);
}

TEST_CASE("names between quotes") {
  CHECK(quoted_names("upload 'w.bin' and 'd/x.bin', then import again") ==
        std::vector<std::string>{"w.bin", "d/x.bin"});
  CHECK(quoted_names("it's open").empty());
}

TEST_CASE("external data is opened beneath the model's folder and through no link") {
  const test::TemporaryFolder folder;
  const fs::path& root = folder.path;
  fs::create_directories(root / "model/data");
  write_file_atomic(root / "model/data/w.bin", "weights");
  write_file_atomic(root / "secret", "secret");
  fs::create_symlink("../secret", root / "model/link");
  fs::create_directory_symlink("..", root / "model/up");
  fs::create_hard_link(root / "secret", root / "model/data/twin");  // CVE-2026-34446
  CHECK(open_beneath(root / "model", "data/w.bin"));
  CHECK(open_beneath(root / "model", "data/../data/w.bin"));  // never leaves the folder
  for (const char* bad : {"../secret", "link", "up/secret", "data/../../secret", "missing", "data/twin", "data"})
    CHECK_THROWS_AS((void)open_beneath(root / "model", bad), Error);
  CHECK_THROWS_AS((void)open_beneath(root / "model", (root / "secret").native()), Error);
}
