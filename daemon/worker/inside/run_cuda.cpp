// run-cuda: the requests of run.cpp, on a GPU. The arena is copied to the device with its guards and poison, and back
// after the call, so that the oracle judges a GPU's candidate as it judges a CPU's. A fault that the context does not
// survive is answered with {faulted}: the parent ends this process and starts another.
#include <time.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "daemon/worker/arena.h"
#include "daemon/worker/inputs.h"
#include "daemon/worker/inside/gpu_role.h"
#include "daemon/worker/inside/role.h"
#include "daemon/worker/memory.h"
#include "runtime/kiln.h"

namespace kiln::worker {
namespace {

using targets::cuda::DeviceMemory;
using targets::cuda::Gpu;

// A refused plan is a fact about the candidate, not a failure of the worker.
struct Refused {
  std::string why;
};
// The context is lost.
struct Faulted {
  std::string why;
};

// Values are made on the host up to this many bytes, and repeated on the device beyond.
constexpr std::size_t kMadeBytes = std::size_t{32} << 20;

double now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

void require_kiln(kiln_status status) {
  if (status == KILN_OK) return;
  if (status == KILN_E_DEVICE) throw Faulted{kiln_last_error()};
  throw Refused{kiln_last_error()};
}

// A loaded candidate with buffers of its own on the device.
class Loaded {
 public:
  Loaded(Gpu& gpu, const std::string& directory) : gpu_(gpu) {
    require_kiln(kiln_open(directory.c_str(), nullptr, &release_));
    if (const kiln_status status = kiln_session_create(release_, &session_); status != KILN_OK) {
      kiln_close(release_);
      require_kiln(status);
    }
  }
  ~Loaded() {
    kiln_session_destroy(session_);
    kiln_close(release_);
  }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  void run_in(const DeviceMemory& arena, const ArenaLayout& layout) {
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    if (static_cast<int>(layout.inputs.size()) != kiln_input_count(release_) ||
        static_cast<int>(layout.outputs.size()) != kiln_output_count(release_))
      throw Refused{"the plan has other inputs or outputs than its graph"};
    kiln_tensor_info info{};
    for (std::size_t i = 0; i < layout.inputs.size(); ++i) {
      (void)kiln_input_info(release_, static_cast<int>(i), &info);
      if (static_cast<std::size_t>(info.bytes) != layout.inputs[i].bytes)
        throw Refused{"input " + std::to_string(i) + " of the plan has another size than its graph's"};
      inputs.push_back(arena.pointer(layout.inputs[i].offset));
    }
    for (std::size_t i = 0; i < layout.outputs.size(); ++i) {
      (void)kiln_output_info(release_, static_cast<int>(i), &info);
      if (static_cast<std::size_t>(info.bytes) != layout.outputs[i].bytes)
        throw Refused{"output " + std::to_string(i) + " of the plan has another size than its graph's"};
      outputs.push_back(arena.pointer(layout.outputs[i].offset));
    }
    require_kiln(kiln_enqueue(session_, inputs.data(), outputs.data(), gpu_.stream()));
    gpu_.synchronize();
  }

  void make_buffers(std::uint64_t seed) {
    kiln_tensor_info info{};
    for (int i = 0; i < kiln_input_count(release_); ++i) {
      (void)kiln_input_info(release_, i, &info);
      inputs_.push_back(filled(info, seed, static_cast<std::uint64_t>(i)));
    }
    for (int i = 0; i < kiln_output_count(release_); ++i) {
      (void)kiln_output_info(release_, i, &info);
      buffers_.push_back(gpu_.allocate(static_cast<std::size_t>(info.bytes)));
      outputs_.push_back(buffers_.back().pointer());
    }
  }

  void enqueue() { require_kiln(kiln_enqueue(session_, inputs_.data(), outputs_.data(), gpu_.stream())); }

  // Nanoseconds of one call by the device's clock, which the host's must not contradict.
  double sample() {
    const double begin = now_ns();
    const double ns = gpu_.time_ns(kiln_launch_count(release_), [&] { enqueue(); });
    const double host_ns = now_ns() - begin;
    if (ns > 1.05 * host_ns + 2000)
      throw Refused{"the device's clock says " + std::to_string(ns) + " ns, the host's " + std::to_string(host_ns)};
    return ns;
  }

 private:
  const void* filled(const kiln_tensor_info& info, std::uint64_t seed, std::uint64_t stream) {
    const auto bytes = static_cast<std::size_t>(info.bytes);
    buffers_.push_back(gpu_.allocate(bytes));
    const DeviceMemory& memory = buffers_.back();
    const auto type = static_cast<graph::DType>(info.dtype);
    const std::size_t made = std::min(bytes, kMadeBytes);
    const graph::Tensor values = make_input({type, {static_cast<std::int64_t>(made / graph::size_of(type))}},
                                            std::nullopt, "normal", seed, stream);
    kiln::cuda::check(gpu_.api(), gpu_.api().cuMemcpyHtoD_v2(memory.address(), values.bytes.data(), made),
                      "fill an input");
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
  kiln_release* release_ = nullptr;
  kiln_session* session_ = nullptr;
  std::vector<DeviceMemory> buffers_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

class Runner {
 public:
  explicit Runner(std::int32_t ordinal) : gpu_(ordinal) {}

  Frame handle(Frame request) {
    const std::string op = json::get_string(request.body, "op", "a run request");
    try {
      if (op == "check") return check(request);
      if (op == "measure") return measure(request);
    } catch (const Faulted& faulted) {
      return answer("faulted", faulted.why);
    } catch (const kiln::cuda::DriverError& error) {
      return answer(error.code() == ErrorCode::limit ? "refused" : "faulted", error.what());
    }
    throw Error(ErrorCode::invalid_input, "cannot answer the run request '" + op + "'");
  }

 private:
  static Frame answer(const char* what, const std::string& why) {
    Frame reply;
    reply.body = {{what, why}};
    return reply;
  }

  Frame check(Frame& request) {
    Gpu& gpu = gpu_.get();
    Mapped arena(request.fds.at(0).get(), Mapped::Access::write);
    const ArenaLayout layout =
        arena_from_json(json::at(request.body, "layout", "a run request"), arena.bytes().size());
    try {
      Loaded loaded(gpu, json::get_string(request.body, "directory", "a run request"));
      const std::size_t bytes = arena.bytes().size();
      const DeviceMemory memory = gpu.allocate(bytes);
      // Twice in one session, from the same state: a kernel that remembers its calls gives itself away.
      std::vector<std::byte> first(bytes), second(bytes);
      for (std::vector<std::byte>* out : {&first, &second}) {
        kiln::cuda::check(gpu.api(), gpu.api().cuMemcpyHtoD_v2(memory.address(), arena.bytes().data(), bytes),
                          "copy the arena to the GPU");
        loaded.run_in(memory, layout);
        kiln::cuda::check(gpu.api(), gpu.api().cuMemcpyDtoH_v2(out->data(), memory.address(), bytes),
                          "copy the arena from the GPU");
      }
      std::copy(second.begin(), second.end(), arena.writable().begin());
      if (first != second) return answer("unstable", "a second call over the same inputs gave other bits");
    } catch (const Refused& refused) {
      return answer("refused", refused.why);
    }
    return {};
  }

  // Once more after the timing, over values that no timed call had; the oracle judges what is left in the arena.
  void call_again(Loaded& loaded, const Frame& request, int file) {
    Gpu& gpu = gpu_.get();
    Mapped arena(file, Mapped::Access::write);
    const ArenaLayout layout =
        arena_from_json(json::at(request.body, "layout", "a run request"), arena.bytes().size());
    const DeviceMemory memory = gpu.allocate(arena.bytes().size());
    kiln::cuda::check(gpu.api(),
                      gpu.api().cuMemcpyHtoD_v2(memory.address(), arena.bytes().data(), arena.bytes().size()),
                      "copy the arena to the GPU");
    loaded.run_in(memory, layout);
    kiln::cuda::check(gpu.api(),
                      gpu.api().cuMemcpyDtoH_v2(arena.writable().data(), memory.address(), arena.bytes().size()),
                      "copy the arena from the GPU");
  }

  struct Entry {
    std::string name, refused;
    std::unique_ptr<Loaded> loaded;
    std::vector<double> ns;
  };

  Frame measure(Frame& request) {
    Gpu& gpu = gpu_.get();
    Mapped progress(request.fds.at(0).get(), Mapped::Access::write);
    const auto at_work = [&](std::size_t i) {
      const auto index = static_cast<std::uint32_t>(i);
      std::memcpy(progress.writable().data(), &index, sizeof index);
    };
    const auto seed = static_cast<std::uint64_t>(json::get_int(request.body, "seed", "a run request"));
    const std::int64_t warmup = json::get_int(request.body, "warmup", "a run request");
    const std::int64_t samples = json::get_int(request.body, "samples", "a run request");
    const bool cold = json::get_bool(request.body, "cold", "a run request");

    std::vector<Entry> entries;
    for (const json::value& item : json::as_array(json::at(request.body, "subjects", "a run request"), "subjects")) {
      const json::object& subject = json::as_object(item, "a subject");
      at_work(entries.size());
      Entry& entry = entries.emplace_back();
      entry.name = json::get_string(subject, "name", "a subject");
      attempt(entry, [&] {
        entry.loaded = std::make_unique<Loaded>(gpu, json::get_string(subject, "directory", "a subject"));
        entry.loaded->make_buffers(seed);
        for (std::int64_t i = 0; i < warmup; ++i) (void)entry.loaded->sample();
      });
    }
    json::array clock;
    for (std::int64_t round = 0; round < samples; ++round) {
      for (std::size_t i = 0; i < entries.size(); ++i) {
        // Rotating order: nobody is always the one after the slowest.
        const std::size_t index = (i + static_cast<std::size_t>(round)) % entries.size();
        at_work(index);
        Entry& entry = entries[index];
        if (!entry.loaded) continue;
        attempt(entry, [&] {
          if (cold)
            gpu.flush_l2();
          else
            entry.loaded->enqueue();  // puts back what the subject before pushed out of the cache
          entry.ns.push_back(entry.loaded->sample());
        });
      }
      // Cycles per nanosecond, right after the round's last kernel; 1 where the device does not tell.
      const auto mhz = gpu.reading().sm_mhz;
      clock.emplace_back(mhz && *mhz > 0 ? static_cast<double>(*mhz) / 1000 : 1.0);
    }
    for (std::size_t i = 0; i < entries.size() && request.fds.size() > 1; ++i) {
      at_work(i);
      if (entries[i].loaded)
        attempt(entries[i], [&] { call_again(*entries[i].loaded, request, request.fds.at(1 + i).get()); });
    }
    Frame reply;
    json::array subjects;
    for (const Entry& entry : entries) {
      json::object out{{"name", entry.name}};
      if (!entry.loaded) out["refused"] = entry.refused;
      out["ns"] = json::to_array(entry.ns);
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
      entry.loaded.reset();
    } catch (const kiln::cuda::DriverError& error) {
      if (error.code() != ErrorCode::limit) throw;  // for want of memory the candidate alone goes
      entry.refused = error.what();
      entry.loaded.reset();
    }
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
