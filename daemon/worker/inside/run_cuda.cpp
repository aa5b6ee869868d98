// run-cuda: the requests of run.cpp, on a GPU. The arena is copied to the device with its guards and poison, and back
// after the call, so that the oracle judges a GPU's candidate as it judges a CPU's. A fault that the context does not
// survive is answered with {faulted}: the parent ends this process and starts another.
#include <time.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>

#include "daemon/worker/inputs.h"
#include "daemon/worker/inside/candidate.h"
#include "daemon/worker/inside/gpu_role.h"
#include "daemon/worker/inside/measure.h"
#include "daemon/worker/inside/role.h"
#include "runtime/base/json.h"
#include "runtime/base/random.h"

namespace kiln::worker {
namespace {

using targets::cuda::DeviceMemory;
using targets::cuda::Gpu;

// Values are made on the host up to this many bytes, and repeated on the device beyond.
constexpr std::size_t kMadeBytes = std::size_t{32} << 20;

double now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

// For want of memory a candidate alone is refused; what else the driver reports is a fault.
template <class Work>
void refuse_for_want_of_memory(Work work) {
  try {
    work();
  } catch (const kiln::cuda::DriverError& error) {
    if (error.code() != ErrorCode::limit) throw;
    throw Refused{error.what()};
  }
}

// One call over a copy of `arena` on the device; what it then holds goes to `out`.
void call_over(Gpu& gpu, Candidate& candidate, std::span<const std::byte> arena, const ArenaLayout& layout,
               std::span<std::byte> out) {
  const DeviceMemory memory = gpu.allocate(arena.size());
  gpu.copy_in(memory.address(), arena);
  candidate.bind(static_cast<std::byte*>(memory.pointer()), layout);
  candidate.enqueue(gpu.stream());
  gpu.copy_out(out, memory.address());
}

// Buffers of a measurement on the device. Each input is a window in a buffer that is a little longer, and stands in
// another place of it, hence for other values, in every call: what a kernel remembers is of no use to it.
class Buffers {
 public:
  explicit Buffers(Gpu& gpu) : gpu_(gpu) {}

  void make(std::uint64_t seed, Candidate& candidate) {
    std::uint64_t stream = 0;
    for (const kiln_tensor_info& info : candidate.inputs()) candidate.add_input(filled(info, seed, stream++));
    for (const kiln_tensor_info& info : candidate.outputs()) {
      outputs_.push_back(gpu_.allocate(static_cast<std::size_t>(info.bytes)));
      candidate.add_output(outputs_.back().pointer());
    }
  }

  void renew(Candidate& candidate) {
    ++turns_;
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      candidate.move_input(i, inputs_[i].pointer(kStep * (splitmix64(turns_ + i * 0x9e3779b97f4a7c15ull) % kPlaces)));
  }

  void poison_outputs(std::byte poison) const {
    for (const DeviceMemory& output : outputs_)
      kiln::cuda::check(gpu_.api(),
                        gpu_.api().cuMemsetD8Async(output.address(), static_cast<unsigned char>(poison), output.bytes(),
                                                   gpu_.stream()),
                        "poison an output");
  }

  // The next call has the arena's inputs.
  void restore(Candidate& candidate, std::span<const std::byte> arena, const ArenaLayout& layout) const {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      gpu_.copy_in(inputs_[i].address(), arena.subspan(layout.inputs.at(i).offset, layout.inputs[i].bytes));
      candidate.move_input(i, inputs_[i].pointer());
    }
  }
  // What that call left.
  void read_back(std::span<std::byte> arena, const ArenaLayout& layout) const {
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      gpu_.copy_out(arena.subspan(layout.inputs.at(i).offset, layout.inputs[i].bytes), inputs_[i].address());
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      gpu_.copy_out(arena.subspan(layout.outputs.at(i).offset, layout.outputs[i].bytes), outputs_[i].address());
  }

 private:
  static constexpr std::size_t kStep = 256;   // bytes: the alignment of device memory
  static constexpr std::size_t kPlaces = 32;  // few, so that a warm cache stays warm

  const void* filled(const kiln_tensor_info& info, std::uint64_t seed, std::uint64_t stream) {
    const std::size_t bytes = static_cast<std::size_t>(info.bytes) + kStep * kPlaces;
    inputs_.push_back(gpu_.allocate(bytes));
    const DeviceMemory& memory = inputs_.back();
    const auto type = static_cast<graph::DType>(info.dtype);
    const std::size_t made = std::min(bytes, kMadeBytes) / kStep * kStep;
    const graph::Tensor values =
        make_input({type, {static_cast<std::int64_t>(made / graph::size_of(type))}}, std::nullopt, "normal", seed,
                   stream, static_cast<int>(std::thread::hardware_concurrency()));
    gpu_.copy_in(memory.address(), std::span(values.bytes).first(made));
    for (std::size_t at = made; at < bytes;) {
      const std::size_t part = std::min(at, bytes - at);
      kiln::cuda::check(gpu_.api(),
                        gpu_.api().cuMemcpyDtoDAsync_v2(memory.address() + at, memory.address(), part, gpu_.stream()),
                        "fill an input");
      at += part;
    }
    gpu_.synchronize();
    return memory.pointer();
  }

  Gpu& gpu_;
  std::vector<DeviceMemory> inputs_, outputs_;
  std::uint64_t turns_ = 0;
};

class GpuSubject final : public Subject {
 public:
  GpuSubject(Gpu& gpu, const std::string& directory, const Timing& timing, int arena, const json::value* layout)
      : gpu_(gpu), timing_(timing), candidate_(directory), buffers_(gpu) {
    if (arena >= 0) {
      arena_.emplace(arena, Mapped::Access::write);
      layout_ = arena_from_json(*layout, arena_->bytes().size());
      candidate_.require_sizes(layout_);
    }
    buffers_.make(timing.seed, candidate_);
  }

  void warm_up() override {
    buffers_.renew(candidate_);
    (void)call();
  }

  double sample(bool proves) override {
    if (!timing_.cold) {  // puts back what the subject before pushed out of the cache
      buffers_.renew(candidate_);
      candidate_.enqueue(gpu_.stream());
    }
    if (proves)
      buffers_.restore(candidate_, arena_->bytes(), layout_);
    else
      buffers_.renew(candidate_);
    buffers_.poison_outputs(timing_.poison);
    if (timing_.cold) gpu_.flush_l2();
    const double ns = call();
    if (proves) buffers_.read_back(arena_->writable(), layout_);
    return ns;
  }

 private:
  // Nanoseconds by the device's clock, which the host's must not contradict.
  double call() {
    const double begin = now_ns();
    const double ns = gpu_.time_ns(candidate_.launches(), [&] { candidate_.enqueue(gpu_.stream()); });
    const double host_ns = now_ns() - begin;
    if (ns > 1.05 * host_ns + 2000)
      throw Refused{"the device's clock says " + std::to_string(ns) + " ns, the host's " + std::to_string(host_ns)};
    return ns;
  }

  Gpu& gpu_;
  const Timing timing_;
  Candidate candidate_;
  Buffers buffers_;
  std::optional<Mapped> arena_;  // what the oracle judges: its windows as the call that proves left them
  ArenaLayout layout_;
};

class GpuDevice final : public Device {
 public:
  explicit GpuDevice(Gpu& gpu) : gpu_(gpu) {}

  std::unique_ptr<Subject> load(const std::string& directory, const Timing& timing, int arena,
                                const json::value* layout) override {
    std::unique_ptr<Subject> subject;
    refuse_for_want_of_memory([&] { subject = std::make_unique<GpuSubject>(gpu_, directory, timing, arena, layout); });
    return subject;
  }

  // 1 where the device does not tell.
  double cycles_per_ns() override {
    const auto mhz = gpu_.reading().sm_mhz;
    return mhz && *mhz > 0 ? static_cast<double>(*mhz) / 1000 : 1.0;
  }

 private:
  Gpu& gpu_;
};

class Runner {
 public:
  explicit Runner(std::int32_t ordinal) : gpu_(ordinal) {}

  Frame handle(Frame request) {
    const std::string op = json::get_string(request.body, "op", "a run request");
    try {
      if (op == "check") return check(request);
      if (op == "measure") {
        GpuDevice device(gpu_.get());
        return measure(request, device);
      }
    } catch (const Faulted& faulted) {
      return answer("faulted", faulted.why);
    } catch (const kiln::cuda::DriverError& error) {
      return answer(error.code() == ErrorCode::limit ? "refused" : "faulted", error.what());
    }
    throw Error(ErrorCode::invalid_input, "cannot answer the run request '" + op + "'");
  }

 private:
  Frame check(const Frame& request) {
    Gpu& gpu = gpu_.get();
    Mapped arena(request.fds.at(0).get(), Mapped::Access::write);
    const ArenaLayout layout = arena_from_json(json::at(request.body, "layout", "a run request"), arena.bytes().size());
    try {
      Candidate candidate(json::get_string(request.body, "directory", "a run request"));
      // Twice in one session, from the same state: a kernel that remembers its calls gives itself away.
      const std::size_t bytes = arena.bytes().size();
      const auto first = std::make_unique_for_overwrite<std::byte[]>(bytes);
      call_over(gpu, candidate, arena.bytes(), layout, {first.get(), bytes});
      call_over(gpu, candidate, arena.bytes(), layout, arena.writable());
      if (std::memcmp(first.get(), arena.bytes().data(), bytes) != 0)
        return answer("unstable", "a second call over the same inputs gave other bits");
    } catch (const Refused& refused) {
      return answer(refused.outcome, refused.why);
    }
    return {};
  }

  LazyGpu gpu_;
};

}  // namespace

Role run_cuda_role(const std::vector<std::string>& arguments) {
  Role role;
  role.rules = gpu_rules(arguments.at(0));
  const auto runner = std::make_shared<Runner>(0);
  role.handle = [runner](Frame request) { return runner->handle(std::move(request)); };
  return role;
}

}  // namespace kiln::worker
