#include "tests/cuda/device_kernel.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tests/temporary_folder.h"

namespace kiln::testing {

using agents::RenderedArg;
using agents::RenderedLaunch;

const std::vector<store::TemplateSpec>& device_templates() {
  static const std::vector<store::TemplateSpec> specs = [] {
    // A program that was taken elsewhere has the templates in its current folder.
    const std::filesystem::path here = "store/corpus/templates";
    const std::filesystem::path root =
        std::filesystem::exists(here) ? here : std::filesystem::path(KILN_SOURCE_DIR) / here;
    std::vector<store::TemplateSpec> out;
    for (const auto& family : std::filesystem::directory_iterator(root))
      for (const auto& entry : std::filesystem::directory_iterator(family.path())) {
        if (!std::filesystem::exists(entry.path() / "kernel.cu")) continue;
        const std::string of = family.path().filename(), name = entry.path().filename();
        out.push_back(store::parse_template(of, name, store::template_files(root, of, name)));
      }
    return out;
  }();
  return specs;
}

bool device_buildable(const agents::Kernel& kernel) {
  for (const store::TemplateSpec& spec : device_templates())
    if (agents::accepts(spec, kernel)) return true;
  return false;
}

agents::NodeFacts device_node(const std::string& architecture, std::int32_t multiprocessors) {
  agents::NodeFacts node;
  agents::GpuFacts gpu;
  gpu.name = "GPU of a test";
  gpu.architecture = architecture;
  gpu.multiprocessors = multiprocessors;
  gpu.shared_per_multiprocessor_bytes = 228 << 10;
  gpu.shared_per_block_bytes = 227 << 10;
  gpu.l2_bytes = 60 << 20;
  gpu.cluster_launch = !architecture.starts_with("sm_8");
  node.gpu = gpu;
  return node;
}

namespace {

constexpr std::size_t kAlignment = 16;  // and no more, so that an access that needs more shows
constexpr unsigned char kPoison = 0xff;  // a NaN in every float type

// A buffer that ends before a page that nobody may touch, or begins behind one: a read outside it ends the program.
// What lies between it and the pages is poisoned.
class Guarded {
  struct Unmap {
    std::size_t bytes;
    void operator()(unsigned char* p) const { (void)::munmap(p, bytes); }  // ignoring: the test is over
  };

 public:
  Guarded(std::size_t bytes, simt::Order order) : bytes_(bytes) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t all = (bytes + kAlignment + page - 1) / page * page + 2 * page;
    void* mapped = ::mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::runtime_error("cannot map a buffer of a kernel");
    mapped_ = {static_cast<unsigned char*>(mapped), Unmap{all}};
    first_ = mapped_.get() + page;
    last_ = mapped_.get() + all - page;
    std::memset(first_, kPoison, static_cast<std::size_t>(last_ - first_));
    if (::mprotect(mapped_.get(), page, PROT_NONE) != 0 || ::mprotect(last_, page, PROT_NONE) != 0)
      throw std::runtime_error("cannot guard a buffer of a kernel");
    begin_ = order == simt::Order::forward ? last_ - (bytes + kAlignment - 1) / kAlignment * kAlignment
                                           : first_ + kAlignment;
  }
  [[nodiscard]] unsigned char* data() { return begin_; }
  [[nodiscard]] bool intact() const {
    const auto is_poison = [](unsigned char byte) { return byte == kPoison; };
    return std::all_of(first_, begin_, is_poison) && std::all_of(begin_ + bytes_, last_, is_poison);
  }

 private:
  std::size_t bytes_;
  std::unique_ptr<unsigned char, Unmap> mapped_{nullptr, Unmap{0}};
  unsigned char *first_ = nullptr, *begin_ = nullptr, *last_ = nullptr;
};

// Without the C++ library, which this program has, and which takes as long to link as a kernel to compile.
constexpr const char* kCompile =
    "c++ -std=c++20 -O1 -fPIC -shared -nostdlib -fno-exceptions -Wall -Wextra -Wno-unknown-pragmas -Wno-unused-function"
    " -Wno-unused-variable -ffp-contract=off -include " KILN_SOURCE_DIR "/tests/simt/before.h"
    " -DKILN_EMULATION='\"" KILN_SOURCE_DIR "/tests/simt/simt.h\"' ";

}  // namespace

struct EmulatedKernel::Loaded {
  agents::RenderedKernel kernel;
  void* object = nullptr;

  [[nodiscard]] simt::Kernel symbol(const std::string& name) const {
    void* address = ::dlsym(object, name.c_str());
    if (!address) throw std::runtime_error("no symbol " + name);
    return reinterpret_cast<simt::Kernel>(address);
  }
};

EmulatedKernel::EmulatedKernel(const agents::RenderedKernel& kernel) : loaded_(std::make_unique<Loaded>()) {
  loaded_->kernel = kernel;
  const test::TemporaryFolder scratch;
  const std::filesystem::path& folder = scratch.path;
  const std::string name = folder.string();
  scratch.put("kernel.cpp", kernel.source);
  const std::string command = kCompile + ("-o " + name + "/kernel.so " + name + "/kernel.cpp 2>" + name + "/log");
  const bool built = std::system(command.c_str()) == 0;
  std::ifstream log(folder / "log");
  const std::string messages{std::istreambuf_iterator<char>(log), {}};
  if (built) loaded_->object = ::dlopen((folder / "kernel.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  const char* why = built && !loaded_->object ? ::dlerror() : "";
  if (!loaded_->object)
    throw std::runtime_error("cannot compile for the CPU: " + messages.substr(0, 3000) + why + "\n" + kernel.source);
}

EmulatedKernel::~EmulatedKernel() { (void)::dlclose(loaded_->object); }  // ignoring: the test is over

std::vector<graph::Tensor> EmulatedKernel::run(const std::vector<graph::Tensor>& inputs,
                                               const std::vector<graph::TensorType>& outputs, simt::Order order) const {
  const agents::RenderedKernel& kernel = loaded_->kernel;
  std::vector<Guarded> in, out, temporary;
  for (const graph::Tensor& t : inputs) {
    in.emplace_back(t.bytes.size(), order);
    std::memcpy(in.back().data(), t.bytes.data(), t.bytes.size());
  }
  for (const graph::TensorType& t : outputs)
    out.emplace_back(static_cast<std::size_t>(graph::element_count(t.shape)) * graph::size_of(t.dtype), order);
  for (const std::int64_t bytes : kernel.temporary_bytes)
    temporary.emplace_back(static_cast<std::size_t>(bytes), order);
  for (const RenderedLaunch& launch : kernel.run) {
    std::vector<void*> arguments;
    for (const RenderedArg& arg : launch.args) {
      const auto i = static_cast<std::size_t>(arg.index);
      std::vector<Guarded>& buffers = arg.kind == RenderedArg::Kind::input    ? in
                                      : arg.kind == RenderedArg::Kind::output ? out
                                                                              : temporary;
      arguments.push_back(buffers.at(i).data());
    }
    simt::run(loaded_->symbol(launch.symbol), arguments.data(),
              {static_cast<unsigned>(launch.tasks), static_cast<unsigned>(launch.geometry->block_threads),
               launch.geometry->shared_bytes, static_cast<unsigned>(launch.geometry->cluster),
               launch.geometry->cooperative},
              order);
  }
  for (std::vector<Guarded>* buffers : {&in, &out, &temporary})
    for (const Guarded& buffer : *buffers)
      if (!buffer.intact()) throw std::runtime_error("a byte outside a buffer was written");
  std::vector<graph::Tensor> result;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    graph::Tensor t = graph::Tensor::zeros(outputs[i]);
    std::memcpy(t.bytes.data(), out[i].data(), t.bytes.size());
    result.push_back(std::move(t));
  }
  return result;
}

}  // namespace kiln::testing
