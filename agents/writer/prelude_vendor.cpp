#include "agents/writer/prelude.h"
#include "agents/writer/source.h"

namespace kiln::agents::writer {
namespace {

// oneDNN's C interface and no container: this text is compiled for every such kernel, and dnnl.hpp with what it
// includes takes ten times as long.
constexpr const char* kTensors = R"kiln(
// A dense or strided view of one argument; a dimension that broadcasts has extent 1. Rank 0: absent.
struct Tensor {
  int arg = 0;
  std::int64_t offset = 0;  // in elements
  int rank = 0;
  dnnl_dims_t dims = {}, strides = {};
};

struct Failure {};  // of a call to oneDNN; ends _create, which then returns null

inline void check(dnnl_status_t status) {
  if (status != dnnl_success) throw Failure();
}

// An object of oneDNN, destroyed with its owner.
template <class T, dnnl_status_t (*destroy)(T)>
class Handle {
 public:
  Handle() = default;
  ~Handle() {
    if (value_) destroy(value_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  T get() const { return value_; }
  T* out() { return &value_; }

 private:
  T value_ = nullptr;
};
using Engine = Handle<dnnl_engine_t, dnnl_engine_destroy>;
using Stream = Handle<dnnl_stream_t, dnnl_stream_destroy>;
using Memory = Handle<dnnl_memory_t, dnnl_memory_destroy>;
using Primitive = Handle<dnnl_primitive_t, dnnl_primitive_destroy>;
using Description = Handle<dnnl_primitive_desc_t, dnnl_primitive_desc_destroy>;
using Attributes = Handle<dnnl_primitive_attr_t, dnnl_primitive_attr_destroy>;
using Steps = Handle<dnnl_post_ops_t, dnnl_post_ops_destroy>;

inline std::int64_t lesser(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

inline dnnl_memory_desc_t layout(const Tensor& t) {
  dnnl_memory_desc_t out = {};  // of an absent tensor: what oneDNN takes for none
  if (t.rank > 0) check(dnnl_memory_desc_init_by_strides(&out, t.rank, t.dims, dnnl_f32, t.strides));
  return out;
}
inline dnnl_memory_desc_t any_layout(const Tensor& t) {
  dnnl_memory_desc_t out;
  check(dnnl_memory_desc_init_by_tag(&out, t.rank, t.dims, dnnl_f32, dnnl_format_tag_any));
  return out;
}
inline void* address(void* const* args, const Tensor& t) { return static_cast<float*>(args[t.arg]) + t.offset; }

struct Range { std::int64_t first = 0, count = 0; };

// Part `index` of `parts`: whole grains, as equal as they go. May be empty.
inline Range part_of(std::int64_t extent, std::int64_t grain, std::int64_t parts, std::int64_t index) {
  const std::int64_t grains = (extent + grain - 1) / grain;
  const std::int64_t first = grains * index / parts * grain;
  const std::int64_t last = lesser(extent, grains * (index + 1) / parts * grain);
  return {first, last - first};
}

// One dimension of a tensor cut to a range; a dimension that broadcasts stays.
inline Tensor cut(Tensor t, int dimension, Range range) {
  if (t.rank == 0 || t.dims[dimension] == 1) return t;
  t.offset += range.first * t.strides[dimension];
  t.dims[dimension] = range.count;
  return t;
}
)kiln";

constexpr const char* kState = R"kiln(
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

class Mutex {
 public:
  void lock() { pthread_mutex_lock(&mutex_); }
  void unlock() { pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};
class Lock {
 public:
  explicit Lock(Mutex& mutex) : mutex_(mutex) { mutex_.lock(); }
  ~Lock() { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

// Constant weights in the layout that a primitive asked for. Parts that multiply with the same columns share them.
struct Packed {
  Tensor plain;
  dnnl_memory_desc_t wanted = {};
  Memory copy;
  bool done = false;
  Mutex once;
};

constexpr int kMostArguments = 16;

struct Part {
  Stream queue;
  Primitive operation;
  dnnl_exec_arg_t arguments[kMostArguments] = {};
  Memory memories[kMostArguments];  // those of the arguments that are this part's own
  Tensor bound[kMostArguments];     // whose addresses each call sets; rank 0: it stays
  int count = 0;
  Packed* packed = nullptr;
  bool in_scratch = false;  // its first argument, the scratchpad, lies in the plan's scratch; else it has its own
  Mutex one_call;

  void add(int name, const dnnl_memory_desc_t& described, dnnl_engine_t cpu, void* storage, const Tensor& t) {
    if (count == kMostArguments) throw Failure();
    check(dnnl_memory_create(memories[count].out(), &described, cpu, storage));
    bound[count] = t;
    arguments[count] = {name, memories[count].get()};
    ++count;
  }
};

// What _create makes once.
struct State {
  Engine cpu;
  Part parts[kTasks];
  Packed packed[kTasks];
  int count = 0, packed_count = 0;

  State() { check(dnnl_engine_create(cpu.out(), dnnl_cpu, 0)); }

  // `operation` is a descriptor of one of oneDNN's operations.
  void describe(Description& out, const void* operation, dnnl_post_ops_t steps = nullptr) {
    Attributes attributes;
    own_scratchpad(attributes);
    if (steps) check(dnnl_primitive_attr_set_post_ops(attributes.get(), steps));
    check(dnnl_primitive_desc_create(out.out(), operation, attributes.get(), cpu.get(), nullptr));
  }
  // Primitives that share the library's scratchpad cannot run side by side.
  static void own_scratchpad(Attributes& attributes) {
    check(dnnl_primitive_attr_create(attributes.out()));
    check(dnnl_primitive_attr_set_scratchpad_mode(attributes.get(), dnnl_scratchpad_mode_user));
  }
  Part& add(const Description& chosen) {
    if (count == kTasks) throw Failure();
    Part& part = parts[count];
    check(dnnl_stream_create(part.queue.out(), cpu.get(), dnnl_stream_default_flags));
    check(dnnl_primitive_create(part.operation.out(), chosen.get()));
    const dnnl_memory_desc_t& scratchpad =
        *dnnl_primitive_desc_query_md(chosen.get(), dnnl_query_scratchpad_md, 0);
    part.in_scratch = dnnl_memory_desc_get_size(&scratchpad) <= static_cast<std::size_t>(kScratchBytes);
    part.add(DNNL_ARG_SCRATCHPAD, scratchpad, cpu.get(), part.in_scratch ? DNNL_MEMORY_NONE : DNNL_MEMORY_ALLOCATE,
             {});
    ++count;
    return part;
  }
  void bind(Part& part, int name, const Tensor& t) { part.add(name, layout(t), cpu.get(), DNNL_MEMORY_NONE, t); }
  // In the layout that the primitive chose: the plain one, or a copy that the first call makes.
  void bind_weights(Part& part, const Description& chosen, const Tensor& plain) {
    const dnnl_memory_desc_t wanted = *dnnl_primitive_desc_query_md(chosen.get(), dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t given = layout(plain);
    if (dnnl_memory_desc_equal(&wanted, &given)) return bind(part, DNNL_ARG_WEIGHTS, plain);
    for (int i = 0; i < packed_count && !part.packed; ++i)
      if (packed[i].plain.offset == plain.offset && dnnl_memory_desc_equal(&packed[i].wanted, &wanted))
        part.packed = &packed[i];
    if (!part.packed) {
      part.packed = &packed[packed_count++];
      part.packed->plain = plain;
      part.packed->wanted = wanted;
      check(dnnl_memory_create(part.packed->copy.out(), &wanted, cpu.get(), DNNL_MEMORY_ALLOCATE));
    }
    if (part.count == kMostArguments) throw Failure();
    part.arguments[part.count++] = {DNNL_ARG_WEIGHTS, part.packed->copy.get()};
  }

  void pack(Part& part, void* const* args) {
    Packed& weights = *part.packed;
    const Lock lock(weights.once);
    if (weights.done) return;
    const dnnl_memory_desc_t given = layout(weights.plain);
    Memory plain;
    Description description;
    Primitive reorder;
    check(dnnl_memory_create(plain.out(), &given, cpu.get(), address(args, weights.plain)));
    check(dnnl_reorder_primitive_desc_create(description.out(), &given, cpu.get(), &weights.wanted, cpu.get(),
                                             nullptr));
    check(dnnl_primitive_create(reorder.out(), description.get()));
    const dnnl_exec_arg_t both[] = {{DNNL_ARG_FROM, plain.get()}, {DNNL_ARG_TO, weights.copy.get()}};
    check(dnnl_primitive_execute(reorder.get(), part.queue.get(), 2, both));
    check(dnnl_stream_wait(part.queue.get()));
    weights.done = true;
  }
  void run(std::int64_t index, void* const* args, void* scratch) {
    if (index >= count) return;  // fewer parts than tasks
    const OneThread alone;
    Part& part = parts[index];
    const Lock lock(part.one_call);
    if (part.packed) pack(part, args);
    if (part.in_scratch) check(dnnl_memory_set_data_handle(part.memories[0].get(), scratch));
    for (int i = 0; i < part.count; ++i)
      if (part.bound[i].rank > 0)
        check(dnnl_memory_set_data_handle(part.memories[i].get(), address(args, part.bound[i])));
    check(dnnl_primitive_execute(part.operation.get(), part.queue.get(), part.count, part.arguments));
    check(dnnl_stream_wait(part.queue.get()));
  }
};

)kiln";

constexpr const char* kEntries = R"kiln(
}  // namespace

extern "C" void* KILN_CREATE(std::int32_t) {
  State* state = nullptr;
  try {
    const OneThread alone;
    state = new State;
    add_parts(*state);
    return state;
  } catch (...) {
    delete state;
    return nullptr;
  }
}

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  static_cast<State*>(task->state)->run(task->index, args, task->scratch);
}

extern "C" void KILN_DESTROY(void* state) { delete static_cast<State*>(state); }
)kiln";

}  // namespace

std::string onednn_prelude(std::int64_t tasks, std::int64_t scratch_bytes) {
  return R"kiln(#include <pthread.h>

#include <cstddef>
#include <cstdint>

#include <oneapi/dnnl/dnnl.h>

#include "runtime/kernel_abi.h"

extern "C" int omp_get_max_threads();  // of the OpenMP runtime that oneDNN is linked to
extern "C" void omp_set_num_threads(int threads);

namespace {

)kiln" + constant("kTasks", tasks, "parts that run side by side") +
         constant("kScratchBytes", scratch_bytes, "of each thread, the plan's") + kTensors + kState;
}

std::string onednn_entries() { return kEntries; }

}  // namespace kiln::agents::writer
