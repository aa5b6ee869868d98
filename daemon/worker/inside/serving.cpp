#include "daemon/worker/inside/serving.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <thread>

#include "daemon/targets/cpu/rapl.h"
#include "daemon/worker/inputs.h"
#include "runtime/base/json.h"
#include "runtime/base/random.h"

namespace kiln::worker {
namespace {

constexpr double kServedNs = 5e6;      // of one sample of throughput
constexpr std::int64_t kServedCalls = 4;  // at least, of each instance
constexpr double kLookNs = 2e5;        // between two looks at the counter of energy
constexpr std::size_t kPlaces = 32;    // where an input may stand: few, so that a warm cache stays warm

double now_ns() { return static_cast<double>(monotonic_ns()); }

}  // namespace

targets::EnergyCounter energy_counter_of(const Frame& request) {
  const json::value* counters = request.body.if_contains("counters");
  if (counters == nullptr) return {};
  const json::array& told = json::as_array(*counters, "the counters of a run request");
  if (told.size() > request.fds.size())
    throw Error(ErrorCode::corrupt, "cannot measure energy: the request lends fewer counters than it names");
  std::vector<targets::cpu::RaplZone> zones;
  for (std::size_t i = 0; i < told.size(); ++i) {
    const json::object& counter = json::as_object(told[i], "a counter");
    const int lent = request.fds[request.fds.size() - told.size() + i].get();
    zones.push_back({json::get_string(counter, "name", "a counter"), UniqueFd(::fcntl(lent, F_DUPFD_CLOEXEC, 0)),
                     static_cast<std::uint64_t>(json::get_int(counter, "range_uj", "a counter"))});
    if (!zones.back().counter) throw system_error("cannot take over a counter", errno);
  }
  const auto counter = std::make_shared<targets::cpu::RaplCounter>(std::move(zones));
  return {[counter] { return counter->microjoules(); }, targets::cpu::kRaplStepNs};
}

// One session, and memory of its own for its calls.
class ServingSubject::Instance {
 public:
  Instance(Candidate& candidate, std::uint64_t seed) : candidate_(candidate) {
    for (const kiln_tensor_info& info : candidate.inputs()) {
      const graph::TensorType type = type_of(info);
      const std::size_t bytes = static_cast<std::size_t>(info.bytes) + kPlaces * kLineBytes;
      const auto count = static_cast<std::int64_t>(bytes / graph::size_of(type.dtype));
      const graph::Tensor values = make_input({type.dtype, {count}}, std::nullopt, "normal", seed, inputs_.size());
      inputs_.push_back(room(bytes));
      std::copy(values.bytes.begin(), values.bytes.end(), inputs_.back().get());
      candidate.add_input(inputs_.back().get());
    }
    for (const kiln_tensor_info& info : candidate.outputs()) {
      outputs_.push_back(room(static_cast<std::size_t>(info.bytes)));
      candidate.add_output(outputs_.back().get());
    }
  }

  void call() {
    ++turns_;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const std::size_t place = splitmix64(turns_ + i * 0x9e3779b97f4a7c15ull) % kPlaces;
      candidate_.move_input(i, inputs_[i].get() + kLineBytes * place);
    }
    candidate_.run();
  }

  // One more call, over the inputs of an arena. The outputs still hold what the call before left.
  void call_over(std::span<std::byte> arena, const ArenaLayout& layout) {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const ArenaLayout::Window& window = layout.inputs.at(i);
      std::memcpy(inputs_[i].get(), arena.data() + window.offset, window.bytes);
      candidate_.move_input(i, inputs_[i].get());
    }
    candidate_.run();
  }
  // What that call left.
  void read_back(std::span<std::byte> arena, const ArenaLayout& layout) const {
    const auto leave = [&](const ArenaLayout::Window& window, const std::byte* from) {
      std::memcpy(arena.data() + window.offset, from, window.bytes);
    };
    for (std::size_t i = 0; i < inputs_.size(); ++i) leave(layout.inputs.at(i), inputs_[i].get());
    for (std::size_t i = 0; i < outputs_.size(); ++i) leave(layout.outputs.at(i), outputs_[i].get());
  }

 private:
  // libkiln copies buffers that are not 64-byte aligned.
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{kLineBytes}); }
  };
  using Room = std::unique_ptr<std::byte, Free>;
  static Room room(std::size_t bytes) {
    return Room(static_cast<std::byte*>(::operator new(std::max<std::size_t>(bytes, 1), std::align_val_t{kLineBytes})));
  }

  Candidate& candidate_;
  std::vector<Room> inputs_, outputs_;
  std::uint64_t turns_ = 0;
};

ServingSubject::ServingSubject(const std::string& directory, const Timing& timing, const ProofArena& proof,
                               const targets::EnergyCounter& counter)
    : timing_(timing),
      counter_(counter),
      loaded_(directory, timing.objective == agents::Objective::throughput ? 1 : 0,
              timing.objective == agents::Objective::throughput ? static_cast<std::size_t>(timing.instances) : 1) {
  if (proof.fd >= 0) {
    arena_.emplace(proof.fd, Mapped::Access::write);
    layout_ = arena_from_json(*proof.layout, arena_->bytes().size());
    loaded_.candidate().require_sizes(layout_);
  }
  for (std::size_t i = 0; i < loaded_.sessions(); ++i)
    instances_.push_back(std::make_unique<Instance>(loaded_.candidate(i), timing.seed + i));
}

ServingSubject::~ServingSubject() = default;

void ServingSubject::warm_up() {
  for (const std::unique_ptr<Instance>& instance : instances_) {
    const double begin = now_ns();
    instance->call();
    call_ns_ = now_ns() - begin;
  }
  loaded_.require_no_more_threads();
}

double ServingSubject::sample(bool proves) {
  const double ns = timing_.objective == agents::Objective::energy ? energy() : throughput();
  if (proves) {
    instances_.front()->call_over(arena_->writable(), layout_);
    instances_.front()->read_back(arena_->writable(), layout_);
  }
  loaded_.require_no_more_threads();
  if (proves) proof_ = copy_of(arena_->bytes(), layout_);
  return ns;
}

// All instances work from the first counted call to the last: one that has done its part goes on until all have.
double ServingSubject::throughput() {
  std::atomic<std::size_t> ready = 0, counted = 0;
  std::vector<double> results_per_ns(instances_.size());
  std::vector<std::exception_ptr> failed(instances_.size());
  const auto serve = [&](std::size_t i) {
    ++ready;
    while (ready < instances_.size()) std::this_thread::yield();
    const double begin = now_ns();
    bool done = false;
    try {
      for (std::int64_t calls = 1; counted < instances_.size(); ++calls) {
        instances_[i]->call();
        const double ns = now_ns() - begin;
        if (done || ns < kServedNs || calls < kServedCalls) continue;
        results_per_ns[i] = static_cast<double>(calls) / ns;
        done = true;
        ++counted;
      }
    } catch (...) {
      failed[i] = std::current_exception();
      if (!done) ++counted;
    }
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < instances_.size(); ++i) others.emplace_back(serve, i);
  serve(0);
  for (std::thread& other : others) other.join();
  wait_for_ended_threads();
  double all = 0;
  for (std::size_t i = 0; i < instances_.size(); ++i) {
    if (failed[i]) std::rethrow_exception(failed[i]);
    all += results_per_ns[i];
  }
  return 1 / all;
}

double ServingSubject::energy() {
  const auto calls = std::max<std::int64_t>(1, static_cast<std::int64_t>(kLookNs / std::max(call_ns_, 1.0)));
  const auto work = [&] {
    for (std::int64_t i = 0; i < calls; ++i) instances_.front()->call();
  };
  const targets::Spent spent = targets::energy_of_calls(work, calls, counter_, now_ns);
  nj_ = spent.nj;
  return spent.ns;
}

void ServingSubject::prove() {
  if (arena_ && !proof_.empty()) copy_back(proof_, arena_->writable(), layout_);
}

}  // namespace kiln::worker
