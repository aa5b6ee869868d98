// A model imported by a worker is the model imported here; a broken one is the worker's error, with code and remedy.
#include <doctest/doctest.h>

#include <fstream>

#include "agents/graph/onnx/import.h"
#include "agents/graph/serialize.h"
#include "daemon/worker/importer.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using kiln::test::TemporaryFolder;

namespace {

const std::filesystem::path model = std::filesystem::path(KILN_SOURCE_DIR) / "tests/models/block.onnx";

worker::ImportJob job(const std::filesystem::path& file) {
  worker::ImportJob j;
  j.worker = std::filesystem::path(KILN_BINARY_DIR) / "bin/kiln-worker";
  j.model = file;
  j.file_name = "the-model.onnx";
  j.dimensions = {{"batch", 2}};
  return j;
}

}  // namespace

TEST_CASE("the worker's graph is the graph") {
  const worker::Imported got = worker::import_in_worker(job(model));
  const std::string bytes = read_file(model);
  const auto owner = std::make_shared<std::string>(bytes);
  const graph::onnx::Result here =
      graph::onnx::import_model(owner, std::as_bytes(std::span(*owner)), {"the-model.onnx", {{"batch", 2}}},
                                [](const std::string&) { return graph::onnx::ExternalData{}; });
  CHECK(got.graph == json::canonical(graph::to_json(here.graph)));
  CHECK(got.constants == graph::constant_blob(here.graph, graph::layout_constants(here.graph)));
  CHECK(got.rewrites == here.rewrites);
  CHECK_FALSE(got.constants.empty());
}

TEST_CASE("a broken model is an error that names the operator's file, and the daemon stays") {
  const TemporaryFolder folder;
  const std::string bytes = read_file(model);
  const auto import_bytes = [&](const std::string& content) {
    std::ofstream(folder.path / "m.onnx", std::ios::binary) << content;
    return worker::import_in_worker(job(folder.path / "m.onnx"));
  };
  for (const std::string& content :
       {std::string(), std::string("not a model at all"), bytes.substr(0, bytes.size() / 2), bytes.substr(0, 3)}) {
    try {
      (void)import_bytes(content);
      FAIL("a broken model was imported");
    } catch (const Error& error) {
      CHECK(error.code() != ErrorCode::internal);
      CHECK(std::string(error.what()).find("the-model.onnx") != std::string::npos);
    }
  }
  CHECK_NOTHROW((void)import_bytes(bytes));
}

TEST_CASE("what the operator can do about it comes along") {
  worker::ImportJob j = job(model);
  j.dimensions.clear();
  try {
    (void)worker::import_in_worker(j);
    FAIL("an unbound dimension was imported");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_input);
    CHECK(std::string(error.what()).find("batch") != std::string::npos);
    CHECK(error.remedy().find("batch") != std::string::npos);
  }
}

TEST_CASE("no worker, no import") {
  worker::ImportJob j = job(model);
  j.worker = "/nonexistent/kiln-worker";
  CHECK_THROWS_AS((void)worker::import_in_worker(j), Error);
  j.worker = "/bin/false";  // starts, and leaves before its hello
  try {
    (void)worker::import_in_worker(j);
    FAIL("/bin/false imported a model");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::unavailable);
    CHECK(std::string(error.what()).find("status 1") != std::string::npos);  // noticed by its end, not by a deadline
  }
}
