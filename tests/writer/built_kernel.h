// Renders a template of the corpus in the source tree, compiles it with c++, loads it, and runs its launches as libkiln
// would: tasks in any order, on one thread or several.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agents/writer/writer.h"
#include "runtime/kernel_abi.h"

namespace kiln::testing {

[[nodiscard]] store::TemplateSpec template_of(const std::string& family, const std::string& name);

// This machine's vector features, as NodeFacts has them.
[[nodiscard]] agents::NodeFacts this_node();

[[nodiscard]] bool has_feature(const std::string& name);  // of this machine: "amx_bf16"
[[nodiscard]] std::vector<std::int64_t> vector_widths();  // that it has, in bits: 128, 256, 512

struct Setting {
  std::int32_t threads = 1;
  std::map<std::string, std::int64_t> tunables;  // the others are the template's defaults, as far as this CPU has them
};

[[nodiscard]] agents::RenderedKernel rendered(const store::TemplateSpec& spec, const agents::Kernel& kernel,
                                              const Setting& setting);

// A launch with its arguments, ready to be called from any number of threads.
struct BoundLaunch {
  kiln_kernel_fn function = nullptr;
  void* state = nullptr;
  std::int64_t tasks = 1;
  std::int64_t scratch_bytes = 0;
  std::vector<void*> args;
};

// The object stays loaded while this lives.
class BuiltKernel {
 public:
  BuiltKernel(const agents::RenderedKernel& kernel, std::int32_t threads);
  ~BuiltKernel();
  BuiltKernel(const BuiltKernel&) = delete;
  BuiltKernel& operator=(const BuiltKernel&) = delete;

  // Compiled as one file, which costs a fraction of as many; none of a vendor's, and all for one instruction set.
  [[nodiscard]] static std::vector<std::unique_ptr<BuiltKernel>> together(
      const std::vector<agents::RenderedKernel>& kernels, std::int32_t threads);

  // prepare launches, once; inputs as for run().
  void prepare(const std::vector<const void*>& inputs);
  void run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs);
  // The launches of run(), for a caller that spreads their tasks itself.
  [[nodiscard]] std::vector<BoundLaunch> bind(const std::vector<const void*>& inputs,
                                              const std::vector<void*>& outputs);

 private:
  struct Loaded;
  struct Object;
  BuiltKernel(const agents::RenderedKernel& kernel, std::int32_t threads, std::shared_ptr<Object> object);
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace kiln::testing
