// A candidate in a run worker: its release and a session of it, as libkiln gives them, and the addresses that its calls
// get. Shared by the run roles of all devices.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "agents/graph/types.h"
#include "daemon/worker/arena.h"
#include "runtime/kiln.h"

namespace kiln::worker {

// A refused plan is a fact about the candidate, not a failure of the worker.
struct Refused {
  std::string why;
  const char* outcome = "refused";  // or "forbidden"
};
// The device's context is lost, and this process with it.
struct Faulted {
  std::string why;
};

// Throws Faulted for KILN_E_DEVICE and Refused for what else is not KILN_OK.
void require_kiln(kiln_status status);

class Candidate {
 public:
  // `threads`: of its session; 0: what the plan was tuned for. `device_constants`: as in kiln_options. Throws Refused,
  // Faulted.
  explicit Candidate(const std::string& directory, int threads = 0, const void* device_constants = nullptr);
  ~Candidate();
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;
  // One more session of the same release, with no addresses yet. Throws Refused, Faulted.
  [[nodiscard]] std::unique_ptr<Candidate> another() const;

  // The calls that follow use the windows of an arena that is at `base`. Throws Refused when the plan has other inputs
  // or outputs than `layout`.
  void bind(std::byte* base, const ArenaLayout& layout);
  void require_sizes(const ArenaLayout& layout) const;  // throws Refused as bind() does
  // The calls that follow use one more input or output, after those before.
  void add_input(const void* address) { inputs_.push_back(address); }
  void add_output(void* address) { outputs_.push_back(address); }
  // The calls that follow find input `i` there.
  void move_input(std::size_t i, const void* address) { inputs_.at(i) = address; }
  void move_output(std::size_t i, void* address) { outputs_.at(i) = address; }  // likewise

  [[nodiscard]] std::vector<kiln_tensor_info> inputs() const;
  [[nodiscard]] std::vector<kiln_tensor_info> outputs() const;
  [[nodiscard]] int launches() const { return kiln_launch_count(release_.get()); }
  // False: the session and its code stay loaded to the end of the process.
  void unload_at_end(bool unloads) { unloads_ = unloads; }

  void run() { require_kiln(kiln_run(session_, inputs_.data(), outputs_.data())); }
  void run_timed(double* launch_ns) {
    require_kiln(kiln_run_timed(session_, inputs_.data(), outputs_.data(), launch_ns));
  }
  void enqueue(void* stream) { require_kiln(kiln_enqueue(session_, inputs_.data(), outputs_.data(), stream)); }
  void wake() { (void)kiln_session_wake(session_); }  // an asleep thread is only slower

 private:
  using Release = std::shared_ptr<kiln_release>;
  explicit Candidate(Release release);

  Release release_;
  kiln_session* session_ = nullptr;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
  bool unloads_ = true;
};

[[nodiscard]] graph::TensorType type_of(const kiln_tensor_info& info);

}  // namespace kiln::worker
