// run: loads candidates through libkiln, the library that inference processes link. Requests:
//   check    {directory, layout} + arena file                       -> {}, {refused}, {forbidden} or {unstable}
//   measure  {subjects: [{name, directory}], warmup, samples, cold, per_launch, seed, poison, layout} + progress file
//            [+ an arena file per subject]
//            -> {subjects: [{name, ns, launch_ns} | {name, refused or forbidden}], cycles_per_ns}
// The progress file's first word is the index of the subject at work, so that the parent knows whom a crash belongs to.
//
// Every timed call gets other values at every place of its inputs, so that nothing remembered from a call before is of
// use. One of them, drawn at random, gets the arena as the oracle filled it, and leaves it as it then was.
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <new>
#include <optional>

#include "daemon/worker/arena.h"
#include "daemon/worker/inputs.h"
#include "daemon/worker/inside/role.h"
#include "daemon/worker/memory.h"
#include "runtime/kiln.h"

namespace kiln::worker {
namespace {

// A refused plan is a fact about the candidate, not a failure of the worker.
struct Refused {
  std::string why;
  const char* outcome = "refused";  // or "forbidden"
};

// Threads of this process.
std::ptrdiff_t count_threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
}

// The main thread, and those of the sessions that are loaded.
std::ptrdiff_t allowed_threads = 1;

// SplitMix64 (Steele, Lea, Flood 2014).
std::uint64_t mixed(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// A loaded candidate with buffers of its own.
class Loaded {
 public:
  explicit Loaded(const std::string& directory) {
    const std::ptrdiff_t before = count_threads();
    if (kiln_open(directory.c_str(), nullptr, &release_) != KILN_OK) throw Refused{kiln_last_error()};
    if (kiln_session_create(release_, &session_) != KILN_OK) {
      const std::string why = kiln_last_error();
      kiln_close(release_);
      throw Refused{why};
    }
    threads_ = count_threads() - before;
    allowed_threads += threads_;
  }
  ~Loaded() {
    if (left_threads_) return;  // their code stays; the parent ends this process
    allowed_threads -= threads_;
    kiln_session_destroy(session_);
    kiln_close(release_);
  }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  // Uses the windows of `arena` as the buffers of the calls that follow.
  void bind(std::span<std::byte> arena, const ArenaLayout& layout) {
    if (static_cast<int>(layout.inputs.size()) != kiln_input_count(release_) ||
        static_cast<int>(layout.outputs.size()) != kiln_output_count(release_))
      throw Refused{"the plan has other inputs or outputs than its graph"};
    inputs_.clear();
    outputs_.clear();
    windows_.clear();
    results_.clear();
    kiln_tensor_info info{};
    for (std::size_t i = 0; i < layout.inputs.size(); ++i) {
      (void)kiln_input_info(release_, static_cast<int>(i), &info);
      if (static_cast<std::size_t>(info.bytes) != layout.inputs[i].bytes)
        throw Refused{"input " + std::to_string(i) + " of the plan has another size than its graph's"};
      inputs_.push_back(arena.data() + layout.inputs[i].offset);
      windows_.push_back({arena.subspan(layout.inputs[i].offset, layout.inputs[i].bytes), element_bytes(info)});
    }
    for (std::size_t i = 0; i < layout.outputs.size(); ++i) {
      (void)kiln_output_info(release_, static_cast<int>(i), &info);
      if (static_cast<std::size_t>(info.bytes) != layout.outputs[i].bytes)
        throw Refused{"output " + std::to_string(i) + " of the plan has another size than its graph's"};
      outputs_.push_back(arena.data() + layout.outputs[i].offset);
      results_.push_back(arena.subspan(layout.outputs[i].offset, layout.outputs[i].bytes));
    }
    launch_ns_.resize(static_cast<std::size_t>(kiln_launch_count(release_)));
  }

  void run() {
    if (kiln_run(session_, inputs_.data(), outputs_.data()) != KILN_OK) throw Refused{kiln_last_error()};
  }

  // A plan runs on libkiln's threads. One more was started by a kernel, and may work on after its call has returned.
  void require_no_more_threads() {
    left_threads_ = count_threads() > allowed_threads;
    if (left_threads_) throw Refused{"a kernel started a thread of its own", "forbidden"};
  }

  // Values for timing: N(0,1), and 0 or 1 for integers, which every index accepts.
  void make_buffers(std::uint64_t seed) {
    kiln_tensor_info info{};
    for (int i = 0; i < kiln_input_count(release_); ++i) {
      (void)kiln_input_info(release_, i, &info);
      const graph::TensorType type{static_cast<graph::DType>(info.dtype), {info.shape, info.shape + info.rank}};
      const graph::Tensor values = make_input(type, std::nullopt, "normal", seed, static_cast<std::uint64_t>(i));
      inputs_.push_back(aligned_copy(values.bytes));
      windows_.push_back({{buffers_.back().get(), values.bytes.size()}, element_bytes(info)});
    }
    for (int i = 0; i < kiln_output_count(release_); ++i) {
      (void)kiln_output_info(release_, i, &info);
      outputs_.push_back(aligned_copy(std::vector<std::byte>(static_cast<std::size_t>(info.bytes))));
      results_.push_back({buffers_.back().get(), static_cast<std::size_t>(info.bytes)});
    }
    launch_ns_.resize(static_cast<std::size_t>(kiln_launch_count(release_)));
  }

  // Turns every input by a number of elements that no call before had, in place: the same values, each elsewhere.
  void renew() {
    ++turns_;
    for (Input& input : windows_) {
      const std::size_t count = input.bytes.size() / input.element_bytes;
      if (count < 2) continue;
      const std::size_t step = 1 + mixed(turns_ * 0x9e3779b97f4a7c15ull) % (count - 1);
      turn(input, step);
      input.turned = (input.turned + step) % count;
    }
  }
  void restore() {
    for (Input& input : windows_) {
      const std::size_t count = input.bytes.size() / input.element_bytes;
      if (input.turned > 0) turn(input, count - input.turned);
      input.turned = 0;
    }
  }
  void poison_outputs(std::byte poison) {
    for (const std::span<std::byte> result : results_) std::fill(result.begin(), result.end(), poison);
  }

  // Wall nanoseconds of one call.
  double sample(bool per_launch) {
    timespec begin{}, end{};
    (void)kiln_session_wake(session_);  // what is timed is work; the threads of a plan in use are awake
    ::clock_gettime(CLOCK_MONOTONIC, &begin);
    const kiln_status status = per_launch ? kiln_run_timed(session_, inputs_.data(), outputs_.data(), launch_ns_.data())
                                          : kiln_run(session_, inputs_.data(), outputs_.data());
    ::clock_gettime(CLOCK_MONOTONIC, &end);
    if (status != KILN_OK) throw Refused{kiln_last_error()};
    return 1e9 * static_cast<double>(end.tv_sec - begin.tv_sec) + static_cast<double>(end.tv_nsec - begin.tv_nsec);
  }
  [[nodiscard]] const std::vector<double>& launch_ns() const { return launch_ns_; }

 private:
  struct Input {
    std::span<std::byte> bytes;
    std::size_t element_bytes;
    std::size_t turned = 0;  // elements, since it was filled
  };
  static void turn(const Input& input, std::size_t elements) {
    std::rotate(input.bytes.begin(), input.bytes.begin() + static_cast<std::ptrdiff_t>(elements * input.element_bytes),
                input.bytes.end());
  }
  static std::size_t element_bytes(const kiln_tensor_info& info) {
    return graph::size_of(static_cast<graph::DType>(info.dtype));
  }

  kiln_release* release_ = nullptr;
  kiln_session* session_ = nullptr;
  // libkiln copies buffers that are not 64-byte aligned, as std::vector's are; that copy would be timed with the plan.
  std::byte* aligned_copy(const std::vector<std::byte>& bytes) {
    buffers_.emplace_back(static_cast<std::byte*>(::operator new(std::max<std::size_t>(bytes.size(), 1), kAlignment)));
    std::copy(bytes.begin(), bytes.end(), buffers_.back().get());
    return buffers_.back().get();
  }
  static constexpr std::align_val_t kAlignment{64};
  struct Free { void operator()(std::byte* p) const { ::operator delete(p, kAlignment); } };

  std::vector<std::unique_ptr<std::byte, Free>> buffers_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
  std::vector<Input> windows_;
  std::vector<std::span<std::byte>> results_;
  std::vector<double> launch_ns_;
  std::uint64_t turns_ = 0;
  std::ptrdiff_t threads_ = 0;  // that libkiln made for it
  bool left_threads_ = false;
};

// The clock of this core: a chain of dependent additions retires one per cycle whatever the machine is.
double cycles_per_ns() {
  constexpr int kSteps = 20'000;
  timespec begin{}, end{};
  std::uint64_t x = 1;
  ::clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int i = 0; i < kSteps; ++i) {
    x += 1;
    asm volatile("" : "+r"(x));  // keeps each addition, and its dependence on the one before
  }
  ::clock_gettime(CLOCK_MONOTONIC, &end);
  const double ns =
      1e9 * static_cast<double>(end.tv_sec - begin.tv_sec) + static_cast<double>(end.tv_nsec - begin.tv_nsec);
  return kSteps / std::max(ns, 1.0);
}

class Runner {
 public:
  Frame handle(Frame request) {
    const std::string op = json::get_string(request.body, "op", "a run request");
    if (op == "check") return check(request);
    if (op == "measure") return measure(request);
    throw Error(ErrorCode::invalid_input, "cannot answer the run request '" + op + "'");
  }

 private:
  Frame check(Frame& request) {
    Frame reply;
    Mapped arena(request.fds.at(0).get(), Mapped::Access::write);
    const ArenaLayout layout = arena_from_json(json::at(request.body, "layout", "a run request"), arena.bytes().size());
    try {
      Loaded loaded(json::get_string(request.body, "directory", "a run request"));
      // Twice in one session, from the same state: a kernel that remembers its calls gives itself away.
      const std::vector<std::byte> before(arena.bytes().begin(), arena.bytes().end());
      loaded.bind(arena.writable(), layout);
      loaded.run();
      const std::vector<std::byte> first(arena.bytes().begin(), arena.bytes().end());
      std::copy(before.begin(), before.end(), arena.writable().begin());
      loaded.run();
      loaded.require_no_more_threads();
      if (!std::equal(first.begin(), first.end(), arena.bytes().begin()))
        reply.body = {{"unstable", "a second call over the same inputs gave other bits"}};
    } catch (const Refused& refused) {
      reply.body = {{refused.outcome, refused.why}};
    }
    last_arena_ = std::move(arena);  // kept until the next is mapped, so that no two calls meet the same addresses
    return reply;
  }

  struct Entry {
    std::string name, refused;
    const char* outcome = "refused";
    std::optional<Mapped> arena;      // what the oracle judges
    std::vector<std::byte> proof;     // the arena as the call drawn for it left it
    std::unique_ptr<Loaded> loaded;
    std::vector<double> ns;
    json::array launch_ns;
  };

  Frame measure(Frame& request) {
    Mapped progress(request.fds.at(0).get(), Mapped::Access::write);
    const auto at_work = [&](std::size_t i) {
      const auto index = static_cast<std::uint32_t>(i);
      std::memcpy(progress.writable().data(), &index, sizeof index);
    };
    const auto seed = static_cast<std::uint64_t>(json::get_int(request.body, "seed", "a run request"));
    const std::int64_t warmup = json::get_int(request.body, "warmup", "a run request");
    const std::int64_t samples = json::get_int(request.body, "samples", "a run request");
    const bool cold = json::get_bool(request.body, "cold", "a run request");
    const bool per_launch = json::get_bool(request.body, "per_launch", "a run request");
    const auto poison = static_cast<std::byte>(json::get_int(request.body, "poison", "a run request"));
    const bool proves = request.fds.size() > 1;
    const std::int64_t proof_round = proves && samples > 0 ? drawn_round(samples) : -1;

    std::vector<Entry> entries;
    for (const json::value& item : json::as_array(json::at(request.body, "subjects", "a run request"), "subjects")) {
      const json::object& subject = json::as_object(item, "a subject");
      at_work(entries.size());
      Entry& entry = entries.emplace_back();
      entry.name = json::get_string(subject, "name", "a subject");
      attempt(entry, [&] {
        entry.loaded = std::make_unique<Loaded>(json::get_string(subject, "directory", "a subject"));
        if (proves) {
          entry.arena.emplace(request.fds.at(entries.size()).get(), Mapped::Access::write);
          const ArenaLayout layout =
              arena_from_json(json::at(request.body, "layout", "a run request"), entry.arena->bytes().size());
          entry.loaded->bind(entry.arena->writable(), layout);
        } else {
          entry.loaded->make_buffers(seed);
        }
        for (std::int64_t i = 0; i < warmup; ++i) {
          entry.loaded->renew();
          (void)entry.loaded->sample(false);
        }
        entry.loaded->require_no_more_threads();
      });
    }
    json::array clock;
    for (std::int64_t round = 0; round < samples; ++round) {
      clock.emplace_back(cycles_per_ns());
      for (std::size_t i = 0; i < entries.size(); ++i) {
        // Rotating order: nobody is always the one after the slowest.
        const std::size_t index = (i + static_cast<std::size_t>(round)) % entries.size();
        at_work(index);
        Entry& entry = entries[index];
        if (!entry.loaded) continue;
        attempt(entry, [&] {
          if (!cold && !per_launch) {  // puts back what the subject before pushed out of the caches
            entry.loaded->renew();
            (void)entry.loaded->sample(false);
          }
          if (round == proof_round) entry.loaded->restore();
          else entry.loaded->renew();
          entry.loaded->poison_outputs(poison);
          if (cold) flush();
          entry.ns.push_back(entry.loaded->sample(per_launch));
          entry.loaded->require_no_more_threads();
          if (round == proof_round) entry.proof.assign(entry.arena->bytes().begin(), entry.arena->bytes().end());
          if (per_launch) entry.launch_ns.emplace_back(json::to_array(entry.loaded->launch_ns()));
        });
      }
    }
    Frame reply;
    json::array subjects;
    for (Entry& entry : entries) {
      json::object out{{"name", entry.name}};
      if (!entry.loaded) out[entry.outcome] = entry.refused;
      if (!entry.proof.empty()) std::copy(entry.proof.begin(), entry.proof.end(), entry.arena->writable().begin());
      out["ns"] = json::to_array(entry.ns);
      if (per_launch) out["launch_ns"] = entry.launch_ns;
      subjects.emplace_back(std::move(out));
    }
    reply.body = {{"subjects", subjects}, {"cycles_per_ns", clock}};
    return reply;
  }

  template <class Work>
  static void attempt(Entry& entry, Work work) {
    try {
      work();
    } catch (const Refused& refused) {
      entry.refused = refused.why;
      entry.outcome = refused.outcome;
      entry.loaded.reset();
    }
  }

  // One of the later rounds, which a candidate cannot know: what it skips by then, it skips there too.
  static std::int64_t drawn_round(std::int64_t samples) {
    std::uint64_t random = 0;
    if (::getrandom(&random, sizeof random, 0) != sizeof random) throw system_error("cannot draw a round", errno);
    const std::int64_t first = samples / 2;
    return first + static_cast<std::int64_t>(random % static_cast<std::uint64_t>(samples - first));
  }

  // Writes twice the last-level cache, capped where that would cost more than what is measured.
  void flush() {
    if (flush_.empty()) flush_.assign(std::size_t{256} << 20, std::byte{1});
    for (std::size_t i = 0; i < flush_.size(); i += 64)
      flush_[i] = static_cast<std::byte>(static_cast<unsigned>(flush_[i]) + 1);
    asm volatile("" ::"r"(flush_.data()) : "memory");
  }

  std::vector<std::byte> flush_;
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
