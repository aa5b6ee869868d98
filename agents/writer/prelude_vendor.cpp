#include "agents/writer/prelude.h"

namespace kiln::agents::writer {

std::string onednn_prelude() {
  return R"kiln(#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

#include "runtime/kernel_abi.h"

extern "C" void omp_set_num_threads(int threads);  // of the OpenMP runtime that oneDNN is linked to

namespace {

using namespace dnnl;

// A dense or strided view of one argument; a dimension that broadcasts has extent 1.
struct Tensor {
  int arg = 0;
  std::int64_t offset = 0;  // in elements
  memory::dims dims, strides;
};

inline memory::desc description(const Tensor& t) { return {t.dims, memory::data_type::f32, t.strides}; }
inline void* address(void* const* args, const Tensor& t) { return static_cast<float*>(args[t.arg]) + t.offset; }

// What _create makes once: the primitive and its memories, whose addresses each call sets.
struct State {
  explicit State(int count) : threads(count) { omp_set_num_threads(count); }
  int threads;
  engine cpu{engine::kind::cpu, 0};
  stream queue{cpu};
  primitive operation;
  std::unordered_map<int, memory> memories;  // by oneDNN's name of the argument
  std::vector<std::pair<int, Tensor>> bound;
  memory packed;          // constant weights in the layout that the primitive asked for, or empty
  bool is_packed = false;
  std::mutex one_call;    // sessions share the state, and a primitive holds one scratchpad

  void bind(int name, const Tensor& t, const memory::desc& desc) {
    memories[name] = memory(desc, cpu, nullptr);
    bound.emplace_back(name, t);
  }
  void bind(int name, const Tensor& t) { bind(name, t, description(t)); }
  void run(void* const* args) {
    for (const auto& [name, tensor] : bound) memories[name].set_data_handle(address(args, tensor));
    operation.execute(queue, memories);
    queue.wait();
  }
};

)kiln";
}

}  // namespace kiln::agents::writer
