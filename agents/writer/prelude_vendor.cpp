#include "agents/writer/prelude.h"

namespace kiln::agents::writer {

std::string onednn_prelude() {
  return R"kiln(#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

#include "runtime/kernel_abi.h"

extern "C" int omp_get_max_threads();  // of the OpenMP runtime that oneDNN is linked to
extern "C" void omp_set_num_threads(int threads);

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

// The threads are libkiln's: each task is one part of the result, computed by a primitive of its own on the thread that
// calls. OpenMP's team would fight with libkiln's threads for the same cores.
class OneThread {
 public:
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = omp_get_max_threads();  // the thread may be the application's own
};

struct Range { std::int64_t first = 0, count = 0; };

// Part `index` of `parts`: whole grains, as equal as they go. May be empty.
inline Range part_of(std::int64_t extent, std::int64_t grain, std::int64_t parts, std::int64_t index) {
  const std::int64_t grains = (extent + grain - 1) / grain;
  const std::int64_t first = grains * index / parts * grain;
  const std::int64_t last = std::min(extent, grains * (index + 1) / parts * grain);
  return {first, last - first};
}

// One dimension of a tensor cut to a range; a dimension that broadcasts stays.
inline Tensor cut(Tensor t, std::size_t dimension, Range range) {
  if (t.dims.empty() || t.dims[dimension] == 1) return t;
  t.offset += range.first * t.strides[dimension];
  t.dims[dimension] = range.count;
  return t;
}

// Constant weights in the layout that a primitive asked for. Parts that multiply with the same columns share them.
struct Packed {
  Tensor plain;
  memory copy;
  bool done = false;
  std::mutex once;
};

inline primitive_attr own_scratchpad() {
  primitive_attr attributes;
  attributes.set_scratchpad_mode(scratchpad_mode::user);
  return attributes;
}

struct Part {
  explicit Part(const engine& cpu) : queue(cpu) {}
  stream queue;
  primitive operation;
  std::unordered_map<int, memory> memories;  // by oneDNN's name of the argument
  std::vector<std::pair<int, Tensor>> bound;  // whose addresses each call sets
  Packed* packed = nullptr;
  std::mutex one_call;  // a part has one scratchpad
};

// What _create makes once.
struct State {
  engine cpu{engine::kind::cpu, 0};
  std::vector<std::unique_ptr<Part>> parts;
  std::list<Packed> packed;

  // `chosen` was described with own_scratchpad(): primitives that share the library's cannot run side by side.
  template <class Description>
  Part& add(const Description& chosen) {
    parts.push_back(std::make_unique<Part>(cpu));
    Part& part = *parts.back();
    part.operation = primitive(chosen.get());
    part.memories[DNNL_ARG_SCRATCHPAD] = memory(chosen.scratchpad_desc(), cpu);
    return part;
  }
  void bind(Part& part, int name, const Tensor& t) {
    part.memories[name] = memory(description(t), cpu, nullptr);
    part.bound.emplace_back(name, t);
  }
  void pack(Part& part, const Tensor& plain, const memory::desc& layout) {
    for (Packed& known : packed)
      if (known.plain.offset == plain.offset && known.copy.get_desc() == layout) part.packed = &known;
    if (!part.packed) {
      part.packed = &packed.emplace_back();
      part.packed->plain = plain;
      part.packed->copy = memory(layout, cpu);
    }
    part.memories[DNNL_ARG_WEIGHTS] = part.packed->copy;
  }
  void run(std::int64_t index, void* const* args) {
    if (index >= static_cast<std::int64_t>(parts.size())) return;  // fewer parts than tasks
    const OneThread alone;
    Part& part = *parts[static_cast<std::size_t>(index)];
    const std::lock_guard<std::mutex> lock(part.one_call);
    if (part.packed) {
      const std::lock_guard<std::mutex> shared(part.packed->once);
      if (!part.packed->done) {
        memory plain(description(part.packed->plain), cpu, address(args, part.packed->plain));
        reorder(plain, part.packed->copy).execute(part.queue, plain, part.packed->copy);
        part.packed->done = true;
      }
    }
    for (const auto& [name, tensor] : part.bound) part.memories[name].set_data_handle(address(args, tensor));
    part.operation.execute(part.queue, part.memories);
    part.queue.wait();
  }
};

)kiln";
}

}  // namespace kiln::agents::writer
