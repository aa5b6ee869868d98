// run: loads candidates through libkiln, the library that inference processes link. Requests:
//   check    {directory, layout} + arena file                       -> {}, {refused}, {forbidden} or {unstable}
//   measure  (measure.h)
//
// Every timed call gets other values at every place of its inputs, so that nothing remembered from a call before is of
// use. One of them, drawn at random, gets the arena as the oracle filled it, and leaves it as it then was.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <optional>

#include "daemon/targets/cpu/flush.h"
#include "daemon/worker/inputs.h"
#include "daemon/worker/inside/candidate.h"
#include "daemon/worker/inside/code_objects.h"
#include "daemon/worker/inside/guards.h"
#include "daemon/worker/inside/loaded.h"
#include "daemon/worker/inside/measure.h"
#include "daemon/worker/inside/role.h"
#include "daemon/worker/inside/serving.h"
#include "runtime/base/json.h"
#include "runtime/base/random.h"

namespace kiln::worker {
namespace {

std::size_t element_bytes(const kiln_tensor_info& info) {
  return graph::size_of(static_cast<graph::DType>(info.dtype));
}

// The memory that timed calls read and write: the windows of an arena, or buffers of its own.
class Buffers {
 public:
  void use_arena(std::span<std::byte> arena, const ArenaLayout& layout, Candidate& candidate) {
    candidate.bind(arena.data(), layout);
    const std::vector<kiln_tensor_info> infos = candidate.inputs();
    for (std::size_t i = 0; i < infos.size(); ++i)
      inputs_.push_back({arena.subspan(layout.inputs[i].offset, layout.inputs[i].bytes), element_bytes(infos[i])});
    for (const ArenaLayout::Window& window : layout.outputs)
      results_.push_back(arena.subspan(window.offset, window.bytes));
  }

  // Values for timing: N(0,1), and 0 or 1 for integers, which every index accepts.
  void make(std::uint64_t seed, Candidate& candidate) {
    std::uint64_t stream = 0;
    for (const kiln_tensor_info& info : candidate.inputs()) {
      const graph::Tensor values = make_input(type_of(info), std::nullopt, "normal", seed, stream++);
      inputs_.push_back({aligned_copy(values.bytes), element_bytes(info)});
      candidate.add_input(inputs_.back().bytes.data());
    }
    for (const kiln_tensor_info& info : candidate.outputs()) {
      results_.push_back(aligned_copy(std::vector<std::byte>(static_cast<std::size_t>(info.bytes))));
      candidate.add_output(results_.back().data());
    }
  }

  // Turns every input by a number of elements that no call before had, in place: the same values, each elsewhere.
  void renew() {
    ++turns_;
    for (Input& input : inputs_) {
      const std::size_t count = input.bytes.size() / input.element_bytes;
      if (count < 2) continue;
      const std::size_t step = 1 + splitmix64(turns_ * 0x9e3779b97f4a7c15ull) % (count - 1);
      turn(input, step);
      input.turned = (input.turned + step) % count;
    }
  }
  void restore() {
    for (Input& input : inputs_) {
      const std::size_t count = input.bytes.size() / input.element_bytes;
      if (input.turned > 0) turn(input, count - input.turned);
      input.turned = 0;
    }
  }
  void poison_outputs(std::byte poison) {
    for (const std::span<std::byte> result : results_) std::fill(result.begin(), result.end(), poison);
  }

 private:
  struct Input {
    std::span<std::byte> bytes;
    std::size_t element_bytes;
    std::size_t turned = 0;  // elements, since it was filled
  };
  static void turn(const Input& input, std::size_t elements) {
    const auto middle = static_cast<std::ptrdiff_t>(elements * input.element_bytes);
    std::rotate(input.bytes.begin(), input.bytes.begin() + middle, input.bytes.end());
  }

  // libkiln copies buffers that are not 64-byte aligned, as std::vector's are; that copy would be timed with the plan.
  std::span<std::byte> aligned_copy(const std::vector<std::byte>& bytes) {
    const std::size_t size = std::max<std::size_t>(bytes.size(), 1);
    memory_.emplace_back(static_cast<std::byte*>(::operator new(size, kAlignment)));
    std::copy(bytes.begin(), bytes.end(), memory_.back().get());
    return {memory_.back().get(), bytes.size()};
  }
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, kAlignment); }
  };

  std::vector<std::unique_ptr<std::byte, Free>> memory_;
  std::vector<Input> inputs_;
  std::vector<std::span<std::byte>> results_;
  std::uint64_t turns_ = 0;
};

double now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

class CpuSubject final : public Subject {
 public:
  CpuSubject(const std::string& directory, const Timing& timing, const ProofArena& proof,
             targets::cpu::Flush& flush)
      : timing_(timing), flush_(flush), loaded_(directory) {
    if (proof.fd < 0) {
      buffers_.make(timing.seed, candidate());
    } else {
      arena_.emplace(proof.fd, Mapped::Access::write);
      layout_ = arena_from_json(*proof.layout, arena_->bytes().size());
      close_guard_pages(arena_->writable(), layout_);
      buffers_.use_arena(arena_->writable(), layout_, candidate());
    }
    if (timing.per_launch) launch_ns_.resize(static_cast<std::size_t>(candidate().launches()));
  }

  void warm_up() override {
    buffers_.renew();
    (void)call(false);
    loaded_.require_no_more_threads();
  }

  double sample(bool proves) override {
    if (!timing_.cold) {  // puts back what the subject before pushed out of the caches
      buffers_.renew();
      (void)call(false);
    }
    if (proves)
      buffers_.restore();
    else
      buffers_.renew();
    buffers_.poison_outputs(timing_.poison);
    if (timing_.cold) flush_();
    const double ns = call(timing_.per_launch);
    loaded_.require_no_more_threads();
    if (proves) proof_ = copy_of(arena_->bytes(), layout_);
    return ns;
  }

  [[nodiscard]] std::vector<double> launch_ns() const override { return launch_ns_; }
  void prove() override {
    if (arena_ && !proof_.empty()) copy_back(proof_, arena_->writable(), layout_);
  }

 private:
  [[nodiscard]] Candidate& candidate() { return loaded_.candidate(); }

  // Wall nanoseconds.
  double call(bool per_launch) {
    candidate().wake();  // what is timed is work; the threads of a plan in use are awake
    const double begin = now_ns();
    if (per_launch)
      candidate().run_timed(launch_ns_.data());
    else
      candidate().run();
    return now_ns() - begin;
  }

  const Timing timing_;
  targets::cpu::Flush& flush_;
  std::optional<Mapped> arena_;   // what the oracle judges
  ArenaLayout layout_;
  std::vector<std::byte> proof_;  // its pages as the call that proves left them
  Buffers buffers_;
  Loaded loaded_;
  std::vector<double> launch_ns_;
};

// Loads a candidate's objects and, when all of them are kernels that link no library, allows no more code.
void load_code(CodeObjects& objects, const std::string& directory) {
  if (objects.load(directory)) arm_code();
}

class Cpu final : public Device {
 public:
  explicit Cpu(CodeObjects& objects) : objects_(objects) {}

  std::vector<std::size_t> loading_order(const std::vector<std::string>& directories) override {
    return vendors_first(objects_, directories);
  }

  std::unique_ptr<Subject> load(const std::string& directory, const Timing& timing,
                                const ProofArena& proof) override {
    load_code(objects_, directory);
    if (timing.objective == agents::Objective::latency)
      return std::make_unique<CpuSubject>(directory, timing, proof, flush_);
    return std::make_unique<ServingSubject>(directory, timing, proof, counter_);
  }

  // The counters of a request for energy: their descriptors are its last.
  void count_energy_by(const Frame& request) { counter_ = energy_counter_of(request); }

  void ready() override { arm_code(); }  // a vendor's primitives are made

  // The clock of this core: a chain of dependent additions retires one per cycle whatever the machine is.
  double cycles_per_ns() override {
    constexpr int kSteps = 20'000;
    const double begin = now_ns();
    std::uint64_t x = 1;
    for (int i = 0; i < kSteps; ++i) {
      x += 1;
      asm volatile("" : "+r"(x));  // keeps each addition, and its dependence on the one before
    }
    return kSteps / std::max(now_ns() - begin, 1.0);
  }

 private:
  CodeObjects& objects_;
  targets::cpu::Flush flush_;
  targets::EnergyCounter counter_;
};

class Runner {
 public:
  Frame handle(Frame request) {
    const std::string op = json::get_string(request.body, "op", "a run request");
    if (op == "check") return check(request);
    if (op == "measure") {
      cpu_.count_energy_by(request);
      return measure(request, cpu_);
    }
    throw Error(ErrorCode::invalid_input, "cannot answer the run request '" + op + "'");
  }

 private:
  Frame check(const Frame& request) {
    Frame reply;
    Mapped arena(request.fds.at(0).get(), Mapped::Access::write);
    const ArenaLayout layout = arena_from_json(json::at(request.body, "layout", "a run request"), arena.bytes().size());
    try {
      const std::string directory = json::get_string(request.body, "directory", "a run request");
      load_code(objects_, directory);
      Loaded loaded(directory);
      // Twice in one session, from the same state: a kernel that remembers its calls gives itself away.
      close_guard_pages(arena.writable(), layout);
      const std::vector<std::byte> before = copy_of(arena.bytes(), layout);
      loaded.candidate().bind(arena.writable().data(), layout);
      loaded.candidate().run();
      const std::vector<std::byte> first = copy_of(arena.bytes(), layout);
      copy_back(before, arena.writable(), layout);
      loaded.candidate().run();
      loaded.require_no_more_threads();
      if (copy_of(arena.bytes(), layout) != first)
        reply = answer("unstable", "a second call over the same inputs gave other bits");
    } catch (const Refused& refused) {
      reply = answer(refused.outcome, refused.why);
    }
    last_arena_ = std::move(arena);  // kept until the next is mapped, so that no two calls meet the same addresses
    return reply;
  }

  CodeObjects objects_;
  Cpu cpu_{objects_};
  Mapped last_arena_;
};

}  // namespace

Role run_role(const std::vector<std::string>& arguments) {
  Role role;
  role.rules.read = {arguments.at(0)};
  role.rules.file_bytes = std::int64_t{1} << 36;
  // Half of the node's memory: a kernel that takes all of it gets none, and nobody else is killed for it.
  role.rules.data_bytes = std::int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE) / 2;
  role.rules.may_make_memory_files = false;
  role.rules.armed = true;
  const auto runner = std::make_shared<Runner>();
  role.handle = [runner](Frame request) { return runner->handle(std::move(request)); };
  return role;
}

}  // namespace kiln::worker
