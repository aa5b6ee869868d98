// run-cuda: the requests of run.cpp, on a GPU. An arena is memory of the GPU that the oracle shares, one for each of
// two calls; or a memory file, which is copied to the device with its guards and poison, and back after the call. So
// the oracle judges a GPU's candidate as it judges a CPU's. A fault that the context does not survive is answered with
// {faulted}: the parent ends this process and starts another. {unshared}: this process cannot have the oracle's memory.
#include <time.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "daemon/targets/energy.h"
#include "daemon/worker/inside/candidate.h"
#include "daemon/worker/inside/device_constants.h"
#include "daemon/worker/inside/gpu_buffers.h"
#include "daemon/worker/inside/gpu_pace.h"
#include "daemon/worker/inside/gpu_role.h"
#include "daemon/worker/inside/measure.h"
#include "daemon/worker/inside/role.h"
#include "daemon/worker/inside/shared_arena.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

using targets::cuda::DeviceMemory;
using targets::cuda::Gpu;
using targets::cuda::SharedMemory;

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

class GpuSubject final : public Subject {
 public:
  // `pace` is that of all subjects of the measurement.
  GpuSubject(Gpu& gpu, const std::string& directory, const Timing& timing, const ProofArena& proof, GpuBuffers& buffers,
             DeviceConstants& constants, GpuPace& pace)
      : gpu_(gpu),
        timing_(timing),
        candidate_(directory, 0, constants.of(directory)),
        buffers_(buffers),
        pace_(pace) {
    if (proof.shared) {
      shared_.emplace(proof.fd, *proof.layout, *proof.shared);
      layout_ = shared_->layout();
    } else if (proof.fd >= 0) {
      arena_.emplace(proof.fd, Mapped::Access::write);
      layout_ = arena_from_json(*proof.layout, arena_->bytes().size());
    }
    if (proof.fd >= 0) candidate_.require_sizes(layout_);
    buffers_.lend(timing.seed, timing.cold, candidate_);
    pace_.loaded(constants_bytes(directory));
  }

  void warm_up() override {
    buffers_.renew(candidate_);
    last_ns_ = call();
    pace_.took(last_ns_);
  }

  double sample(bool proves) override {
    if (timing_.objective != agents::Objective::latency || pace_.in_batches(timing_.cold, buffers_.sets()))
      return sample_of_many(proves);
    if (!timing_.cold && last_ns_ < kShortNs && !buffers_.sets().stay_cold()) {
      // puts back what the subject before pushed out of the cache
      buffers_.renew(candidate_);
      candidate_.enqueue(gpu_.stream());
    }
    if (proves)
      restore();
    else
      buffers_.renew(candidate_);
    buffers_.poison_outputs(timing_.poison);
    if (timing_.cold) gpu_.flush_l2();
    const double ns = call();
    if (proves) read_back();
    return last_ns_ = ns;
  }

  [[nodiscard]] double nj() const override { return nj_; }

 private:
  static constexpr double kShortNs = 1e7;  // longer calls fill the cache in a thousandth of their time

  static std::uintmax_t constants_bytes(const std::string& directory) {
    std::error_code none;
    const std::uintmax_t bytes = std::filesystem::file_size(std::filesystem::path(directory) / "constants.bin", none);
    return none ? 0 : bytes;
  }

  // Calls that follow each other; the one that proves follows them, over outputs that nobody poisoned.
  double sample_of_many(bool proves) {
    if (last_ns_ <= 0) last_ns_ = call();
    const std::int64_t calls = pace_.calls(timing_.objective, last_ns_, timing_.cold, buffers_.sets());
    const bool counts = timing_.objective == agents::Objective::energy;  // a look at the counter behind each batch
    const double ns = counts ? energy(calls) : timed(calls);
    if (proves) {
      restore();
      candidate_.enqueue(gpu_.stream());
      read_back();
    }
    return ns;
  }

  void enqueue(std::int64_t calls) {
    for (std::int64_t i = 0; i < calls; ++i) {
      buffers_.renew(candidate_);
      candidate_.enqueue(gpu_.stream());
    }
  }

  // By a graph, as a network's kernels are launched where their time counts: a stream alone takes launches of a
  // microsecond more slowly than they run.
  double timed(std::int64_t calls) {
    const targets::cuda::DeviceGraph graph = gpu_.recorded([&] { enqueue(calls); });
    gpu_.launch(graph);  // the first launch of a graph also takes it to the device
    const double begin = now_ns();
    const double ns = gpu_.time_ns(1, [&] { gpu_.launch(graph); });
    require_plausible(ns, now_ns() - begin);
    return ns / static_cast<double>(calls);
  }

  // The counter is asked while the next calls are at work, so that the GPU does not wait for the answer.
  double energy(std::int64_t calls) {
    const targets::EnergyCounter counter{[this] { return gpu_.microjoules(); }, targets::cuda::kEnergyStepNs};
    const auto work = [&] {
      gpu_.synchronize();
      enqueue(calls);
    };
    enqueue(calls);
    const targets::Spent spent = targets::energy_of_calls(work, calls, counter, now_ns);
    gpu_.synchronize();
    nj_ = spent.nj;
    return spent.ns;
  }

  static void require_plausible(double ns, double host_ns) {
    if (ns > 1.05 * host_ns + 2000)
      throw Refused{"the device's clock says " + std::to_string(ns) + " ns, the host's " + std::to_string(host_ns)};
  }

  // Nanoseconds by the device's clock, which the host's must not contradict.
  double call() {
    const double begin = now_ns();
    const double ns = gpu_.time_ns(candidate_.launches(), [&] { candidate_.enqueue(gpu_.stream()); });
    require_plausible(ns, now_ns() - begin);
    return ns;
  }

  // Shared memory is mapped while no kernel runs: what another subject left in its arena is out of reach.
  void restore() {
    if (shared_)
      buffers_.restore(candidate_, *shared_);
    else
      buffers_.restore(candidate_, arena_->bytes(), layout_);
  }
  void read_back() {
    if (shared_)
      buffers_.read_back(*shared_);
    else
      buffers_.read_back(arena_->writable(), layout_);
  }

  Gpu& gpu_;
  const Timing timing_;
  Candidate candidate_;
  GpuBuffers& buffers_;
  // What the oracle judges: its windows as the call that proves left them. In the GPU's memory, or a file.
  std::optional<SharedArena> shared_;
  std::optional<Mapped> arena_;
  ArenaLayout layout_;
  GpuPace& pace_;
  double last_ns_ = 0;
  double nj_ = 0;
};

class GpuDevice final : public Device {
 public:
  GpuDevice(Gpu& gpu, GpuBuffers& buffers, DeviceConstants& constants)
      : gpu_(gpu), buffers_(buffers), constants_(constants) {
    buffers_.begin();
  }
  ~GpuDevice() override { buffers_.end(); }

  std::unique_ptr<Subject> load(const std::string& directory, const Timing& timing, const ProofArena& proof) override {
    std::unique_ptr<Subject> subject;
    refuse_for_want_of_memory([&] {
      subject = std::make_unique<GpuSubject>(gpu_, directory, timing, proof, buffers_, constants_, pace_);
    });
    return subject;
  }

  // 1 where the device does not tell.
  double cycles_per_ns() override {
    const std::optional<std::uint32_t> mhz = gpu_.sm_mhz();
    return mhz && *mhz > 0 ? static_cast<double>(*mhz) / 1000 : 1.0;
  }

 private:
  Gpu& gpu_;
  GpuBuffers& buffers_;
  DeviceConstants& constants_;
  GpuPace pace_;
};

class Runner {
 public:
  explicit Runner(std::int32_t ordinal) : gpu_(ordinal) {}

  Frame handle(Frame request) {
    const std::string op = json::get_string(request.body, "op", "a run request");
    try {
      if (op == "energy") {
        return {{{"microjoules", gpu_.get().microjoules()}}, {}};
      }
      if (op == "check") return request.body.contains("shared") ? check_shared(request) : check(request);
      if (op == "measure") {
        if (!buffers_) buffers_.emplace(gpu_.get());
        GpuDevice device(gpu_.get(), *buffers_, constants());
        return measure(request, device);
      }
    } catch (const Unshared& unshared) {
      return answer("unshared", unshared.why);
    } catch (const Faulted& faulted) {
      return answer("faulted", faulted.why);
    } catch (const kiln::cuda::DriverError& error) {
      return answer(error.code() == ErrorCode::limit ? "refused" : "faulted", error.what());
    }
    throw Error(ErrorCode::invalid_input, "cannot answer the run request '" + op + "'");
  }

 private:
  // One call over each of the oracle's arenas, in one session: the oracle compares what they leave.
  Frame check_shared(const Frame& request) {
    Gpu& gpu = gpu_.get();
    const SharedArena arena(request.fds.at(0).get(), json::at(request.body, "layout", "a run request"),
                            json::at(request.body, "shared", "a run request"));
    try {
      const std::string directory = json::get_string(request.body, "directory", "a run request");
      Candidate candidate(directory, 0, constants().of(directory));
      const SharedMemory memory = arena.mapped(gpu);
      for (int i = 0; i < arena.arenas(); ++i) {
        candidate.bind(memory.pointer(arena.offset(i)), arena.layout());
        candidate.enqueue(gpu.stream());
      }
      gpu.synchronize();
    } catch (const Refused& refused) {
      return answer(refused.outcome, refused.why);
    }
    return {};
  }

  Frame check(const Frame& request) {
    Gpu& gpu = gpu_.get();
    Mapped arena(request.fds.at(0).get(), Mapped::Access::write);
    const ArenaLayout layout = arena_from_json(json::at(request.body, "layout", "a run request"), arena.bytes().size());
    try {
      const std::string directory = json::get_string(request.body, "directory", "a run request");
      Candidate candidate(directory, 0, constants().of(directory));
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

  DeviceConstants& constants() {
    if (!constants_) constants_.emplace(gpu_.get());
    return *constants_;
  }

  LazyGpu gpu_;
  std::optional<GpuBuffers> buffers_;
  std::optional<DeviceConstants> constants_;
};

}  // namespace

Role run_cuda_role(const std::vector<std::string>& arguments) {
  Role role;
  role.rules = gpu_rules(arguments.at(0));
  const auto runner = std::make_shared<Runner>(ordinal_of(arguments.at(1)));
  role.handle = [runner](Frame request) { return runner->handle(std::move(request)); };
  return role;
}

}  // namespace kiln::worker
