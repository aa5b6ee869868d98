// large_import [MIB]: writes an ONNX file of about MIB mebibytes (default 500) of weights to the temporary folder, maps
// and imports it, and prints the seconds and the memory that took, as a share of the file. Exit status 1 when it is
// more than 5 s, or 1.2 times the file. Memory is the process's peak of resident pages (VmHWM), those of the mapped
// file among them, less what it had before; pages that the parser has read are dropped, as the import worker does.
#include <fcntl.h>
#include <onnx/onnx_pb.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "agents/graph/onnx/import.h"
#include "tests/temporary_folder.h"

using namespace kiln;

namespace {

constexpr std::int64_t kWidth = 2048;  // a layer is 16 MiB
constexpr double kMostSeconds = 5, kMostShare = 1.2;

// A chain of products; each layer's weights differ, so that none are merged.
void write_model(const std::filesystem::path& path, std::int64_t layers) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name("large");
  const auto tensor = [](onnx::ValueInfoProto& value, const char* name) {
    value.set_name(name);
    auto* type = value.mutable_type()->mutable_tensor_type();
    type->set_elem_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t extent : {std::int64_t{1}, kWidth}) type->mutable_shape()->add_dim()->set_dim_value(extent);
  };
  tensor(*graph.add_input(), "h0");
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    onnx::TensorProto& weights = *graph.add_initializer();
    weights.set_name("w" + std::to_string(layer));
    weights.set_data_type(onnx::TensorProto::FLOAT);
    weights.add_dims(kWidth);
    weights.add_dims(kWidth);
    std::string& raw = *weights.mutable_raw_data();
    raw.resize(static_cast<std::size_t>(kWidth * kWidth * 4));
    for (std::size_t i = 0; i < raw.size(); i += 64) raw[i] = static_cast<char>(static_cast<std::int64_t>(i) + layer);
    onnx::NodeProto& node = *graph.add_node();
    node.set_op_type("MatMul");
    node.add_input("h" + std::to_string(layer));
    node.add_input(weights.name());
    node.add_output("h" + std::to_string(layer + 1));
  }
  tensor(*graph.add_output(), ("h" + std::to_string(layers)).c_str());
  std::ofstream file(path, std::ios::binary);
  if (!model.SerializeToOstream(&file)) std::exit(2);
}

// Of this process: a line of /proc/self/status, in KiB.
double status_kib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(key + ":", 0) == 0) return std::strtod(line.c_str() + key.size() + 1, nullptr);
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t mib = argc > 1 ? std::atoll(argv[1]) : 500;
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "large.onnx";
  // In a process of its own: what writing takes is not what importing takes.
  if (const pid_t writer = fork(); writer == 0) {
    write_model(path, std::max<std::int64_t>(1, mib / 16));
    std::_Exit(0);
  } else {
    int status = 0;
    if (writer < 0 || waitpid(writer, &status, 0) != writer || status != 0) return 2;
  }
  const std::size_t bytes = std::filesystem::file_size(path);
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  void* mapped = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
  (void)close(file);  // the mapping keeps the file
  if (mapped == MAP_FAILED) return 2;
  const std::shared_ptr<const void> owner(mapped,
                                          [bytes](const void* at) { (void)munmap(const_cast<void*>(at), bytes); });

  const double before = status_kib("VmRSS");
  const auto start = std::chrono::steady_clock::now();
  graph::onnx::Options options;
  options.file_name = path.filename();
  options.part_read = [](std::span<const std::byte> part) {
    (void)madvise(const_cast<std::byte*>(part.data()), part.size(), MADV_DONTNEED);
  };
  const auto result = graph::onnx::import_model(owner, {static_cast<const std::byte*>(mapped), bytes}, options, {});
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double share = (status_kib("VmHWM") - before) * 1024 / static_cast<double>(bytes);
  std::printf("import of %.0f MiB, %zu nodes: %.2f s (at most %.0f), %.2f of the file in memory (at most %.1f)\n",
              static_cast<double>(bytes) / (1 << 20), result.graph.nodes.size(), seconds, kMostSeconds, share,
              kMostShare);
  return seconds <= kMostSeconds && share <= kMostShare ? 0 : 1;
}
