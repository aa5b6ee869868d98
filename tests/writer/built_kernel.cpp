#include "tests/writer/built_kernel.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "runtime/base/cpu_features.h"
#include "runtime/base/files.h"
#include "runtime/kernel_abi.h"
#include "tests/temporary_folder.h"

// Read by AddressSanitizer when it is there. Its leak check crashes ("Tracer caught signal 11") on the thread-local
// memory of the OpenMP runtime that oneDNN kernels bring into the process; the writer's own code keeps its memory in
// containers.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

namespace kiln::testing {

using agents::RenderedArg;
using agents::RenderedLaunch;

store::TemplateSpec template_of(const std::string& family, const std::string& name) {
  const std::filesystem::path templates = std::filesystem::path(KILN_SOURCE_DIR) / "store/corpus/templates";
  return store::parse_template(family, name, store::template_files(templates, family, name));
}

agents::NodeFacts this_node() {
  agents::NodeFacts node;
  if (__builtin_cpu_supports("avx2")) node.features.emplace_back("avx2");
  if (__builtin_cpu_supports("fma")) node.features.emplace_back("fma");
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) node.features.emplace_back("avx512f");
  if (has_cpu_feature("amx_bf16") && has_cpu_feature("avx512_bf16"))
    for (const char* feature : {"amx_tile", "amx_bf16"}) node.features.emplace_back(feature);
  for (const char* feature : {"amx_int8", "avx512_vnni", "avx512_bf16"})
    if (has_cpu_feature(feature)) node.features.emplace_back(feature);
  node.cores = 2;
  node.l1d_bytes = 48 << 10;
  node.l2_bytes = 2 << 20;
  node.l3_bytes = 32 << 20;
  return node;
}

bool has_feature(const std::string& name) {
  const std::vector<std::string> features = this_node().features;
  return std::find(features.begin(), features.end(), name) != features.end();
}

std::vector<std::int64_t> vector_widths() {
  std::vector<std::int64_t> out = {128};
  if (has_feature("avx2")) out.push_back(256);
  if (has_feature("avx512f")) out.push_back(512);
  return out;
}

agents::RenderedKernel rendered(const store::TemplateSpec& spec, const agents::Kernel& kernel, const Setting& setting) {
  agents::Region region;
  region.key = "0123456789abcdef";
  region.label = "test of " + spec.family + "/" + spec.name;
  agents::NodeFacts node = this_node();
  agents::Variant variant{region.key, spec.family, spec.name, spec.digest, setting.tunables};
  // A narrower vector than this CPU has is asked for by a node that says it has no wider one.
  const auto isa = setting.tunables.find("isa");
  if (isa != setting.tunables.end() && isa->second < 512) std::erase(node.features, "avx512f");
  if (isa != setting.tunables.end() && isa->second < 256) node.features.clear();
  const agents::Figures figures = agents::figures_of(kernel, node, setting.threads);
  if (isa == setting.tunables.end() && !spec.vendor)
    variant.tunables["isa"] = static_cast<std::int64_t>(figures.at("vector_bytes")) * 8;
  return agents::render(spec, region, kernel, variant, figures, node);
}

namespace {

using Memory = std::unique_ptr<void, decltype(&std::free)>;

// Of NaN: what is read before it is written shows.
Memory memory_of(std::int64_t bytes) {
  const auto rounded = static_cast<std::size_t>((bytes + 127) / 64 * 64);
  Memory memory(std::aligned_alloc(64, rounded), &std::free);
  std::memset(memory.get(), 0xff, rounded);
  return memory;
}

bool written_behind(const Memory& memory, std::int64_t bytes) {
  const auto* at = static_cast<const unsigned char*>(memory.get());
  return std::any_of(at + bytes, at + (bytes + 127) / 64 * 64, [](unsigned char c) { return c != 0xff; });
}

}  // namespace

// A shared object and the folder that it was compiled in.
struct BuiltKernel::Object {
  test::TemporaryFolder folder;
  void* handle = nullptr;

  // `kernel` gives the file's name, the flags and the libraries. The object stays mapped: a sanitizer's report at exit
  // names its functions, and vendor libraries do not unload well.
  Object(const agents::RenderedKernel& kernel, const std::string& source) {
    const std::filesystem::path& path = folder.path;
    folder.put(kernel.file_name, source);
    std::string command =
        "c++ -fPIC -shared -Wall -Wextra -Wno-unknown-pragmas -Wno-unused-function -Wno-aggressive-loop-optimizations "
        "-Werror -Wl,-z,defs -I" KILN_SOURCE_DIR;
    for (const std::string& flag : kernel.compile_flags) command += " " + flag;
    command += " " + (path / kernel.file_name).string() + " -o " + (path / "kernel.so").string();
    for (const std::string& library : kernel.libraries) command += " -l" + library;
    if (std::system(command.c_str()) != 0) throw std::runtime_error("cannot compile:\n" + source);
    handle = dlopen((path / "kernel.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) throw std::runtime_error(dlerror());
  }
};

struct BuiltKernel::Loaded {
  struct Launch {
    const RenderedLaunch* description;
    kiln_kernel_fn function = nullptr;
    void* state = nullptr;
    kiln_destroy_fn destroy = nullptr;
  };
  agents::RenderedKernel kernel;
  std::int32_t threads;
  std::shared_ptr<Object> object;
  std::vector<Launch> prepare, run;
  std::vector<Memory> prepared, temporary;

  Launch load(const RenderedLaunch& launch) const {
    Launch out{&launch};
    const auto symbol = [&](const std::string& name) {
      void* address = dlsym(object->handle, name.c_str());
      if (!address) throw std::runtime_error("no symbol " + name);
      return address;
    };
    out.function = reinterpret_cast<kiln_kernel_fn>(symbol(launch.symbol));
    if (launch.has_state) {
      out.state = reinterpret_cast<kiln_create_fn>(symbol(launch.symbol + "_create"))(threads);
      out.destroy = reinterpret_cast<kiln_destroy_fn>(symbol(launch.symbol + "_destroy"));
      if (!out.state) throw std::runtime_error("create failed");
    }
    return out;
  }

  BoundLaunch bind(const Launch& launch, const std::vector<const void*>& inputs, const std::vector<void*>& outputs) {
    BoundLaunch bound{launch.function, launch.state, launch.description->tasks, launch.description->scratch_bytes, {}};
    for (const RenderedArg& arg : launch.description->args) {
      const auto i = static_cast<std::size_t>(arg.index);
      switch (arg.kind) {
        case RenderedArg::Kind::input: bound.args.push_back(const_cast<void*>(inputs.at(i))); break;
        case RenderedArg::Kind::output: bound.args.push_back(outputs.at(i)); break;
        case RenderedArg::Kind::prepared: bound.args.push_back(prepared.at(i).get()); break;
        case RenderedArg::Kind::temporary: bound.args.push_back(temporary.at(i).get()); break;
      }
    }
    return bound;
  }

  void go(const Launch& launch, const std::vector<const void*>& inputs, const std::vector<void*>& outputs) {
    const BoundLaunch bound = bind(launch, inputs, outputs);
    std::atomic<std::int64_t> left{bound.tasks};
    std::atomic<bool> outside{false};
    const auto work = [&] {
      const Memory scratch = memory_of(bound.scratch_bytes);
      for (std::int64_t i = --left; i >= 0; i = --left) {
        const kiln_task task{i, bound.tasks, scratch.get(), bound.state, threads};
        bound.function(bound.args.data(), &task);
      }
      if (written_behind(scratch, bound.scratch_bytes)) outside = true;
    };
    std::vector<std::thread> pool;
    for (std::int32_t t = 1; t < threads; ++t) pool.emplace_back(work);
    work();
    for (std::thread& thread : pool) thread.join();
    if (outside) throw std::runtime_error("it writes behind its scratch");
  }
};

BuiltKernel::BuiltKernel(const agents::RenderedKernel& kernel, std::int32_t threads)
    : BuiltKernel(kernel, threads, std::make_shared<Object>(kernel, kernel.source)) {}

BuiltKernel::BuiltKernel(const agents::RenderedKernel& kernel, std::int32_t threads, std::shared_ptr<Object> object)
    : loaded_(std::make_unique<Loaded>()) {
  Loaded& l = *loaded_;
  l.kernel = kernel;
  l.threads = threads;
  l.object = std::move(object);
  const bool tiles =
      std::find(kernel.cpu_features.begin(), kernel.cpu_features.end(), "amx_tile") != kernel.cpu_features.end();
  if (tiles && !use_tiles()) throw std::runtime_error("no tile registers are granted");
  for (const RenderedLaunch& launch : l.kernel.prepare) l.prepare.push_back(l.load(launch));
  for (const RenderedLaunch& launch : l.kernel.run) l.run.push_back(l.load(launch));
  for (const std::int64_t bytes : l.kernel.prepared_bytes) l.prepared.push_back(memory_of(bytes));
  for (const std::int64_t bytes : l.kernel.temporary_bytes) l.temporary.push_back(memory_of(bytes));
}

BuiltKernel::~BuiltKernel() {
  for (const Loaded::Launch& launch : loaded_->run)
    if (launch.destroy) launch.destroy(launch.state);
}

std::vector<std::unique_ptr<BuiltKernel>> BuiltKernel::together(const std::vector<agents::RenderedKernel>& kernels,
                                                                std::int32_t threads) {
  std::vector<std::unique_ptr<BuiltKernel>> built;
  if (kernels.empty()) return built;
  std::string source =
      "#include <cmath>\n#include <cstdint>\n#include <limits>\n#include <type_traits>\n#include <utility>\n"
      "#include \"runtime/kernel_abi.h\"\n";
  for (std::size_t i = 0; i < kernels.size(); ++i)
    source += "#undef KILN_KERNEL\n#undef KILN_PACK\nnamespace kernel_" + std::to_string(i) + " {\n" +
              kernels[i].source + "}\n";
  const auto object = std::make_shared<Object>(kernels.front(), source);
  for (const agents::RenderedKernel& kernel : kernels)
    built.push_back(std::unique_ptr<BuiltKernel>(new BuiltKernel(kernel, threads, object)));
  return built;
}

void BuiltKernel::prepare(const std::vector<const void*>& inputs) {
  for (const Loaded::Launch& launch : loaded_->prepare) loaded_->go(launch, inputs, {});
}

void BuiltKernel::run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs) {
  for (const Loaded::Launch& launch : loaded_->run) loaded_->go(launch, inputs, outputs);
}

std::vector<BoundLaunch> BuiltKernel::bind(const std::vector<const void*>& inputs, const std::vector<void*>& outputs) {
  std::vector<BoundLaunch> out;
  for (const Loaded::Launch& launch : loaded_->run) out.push_back(loaded_->bind(launch, inputs, outputs));
  return out;
}

}  // namespace kiln::testing
