// The daemon's hand on one worker process. One thread at a time. Every deadline is enforced here, by killing.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "daemon/worker/frame.h"
#include "daemon/worker/progress.h"
#include "runtime/base/json.h"

namespace kiln::worker {

// What became of a call. The worker is gone after anything but `answered`.
struct Answer {
  enum class Kind : std::uint8_t { answered, crashed, hung };
  Kind kind = Kind::answered;
  Frame frame;           // when answered
  bool stopped = false;  // for a cause from outside this call: a SIGKILL by an operator or for want of memory, or what
                         // an earlier candidate left running
  bool forbidden = false;  // crashed by SIGSYS: it made a system call that its sandbox does not have
  bool out_of_time = false;  // crashed by SIGXCPU: it used up its processor time
  int status = 0;          // that it left with, when it did without an answer
  std::string evidence;  // "killed by signal 11 (Segmentation fault)", "past its deadline of 20.0 s"
};

struct Launch {
  std::filesystem::path program;  // kiln-worker
  std::string role;               // "probe", "build", "run", "oracle", "import"
  std::vector<std::string> arguments;
  std::string library_path{};  // its LD_LIBRARY_PATH; empty: the system's folders
  std::int32_t cores = 0;      // that it and what it starts run on, of those that this thread may use; 0: all
};

class WorkerProcess {
 public:
  // Starts it and waits for its hello; throws Error(unavailable) with its reason when it refuses to work.
  explicit WorkerProcess(const Launch& launch);
  ~WorkerProcess();  // kills it; end() tells whether that was so
  WorkerProcess(WorkerProcess&&) = delete;

  // Sends and waits. An Error that the worker reports (kind "error") is thrown here as the same Error.
  [[nodiscard]] Answer call(Frame& request, std::int64_t timeout_ns);
  // The same where the request's first file is the worker's progress (progress.h).
  [[nodiscard]] Answer call(Frame& request, const Patience& patience);
  // The two halves of call(), for several workers at once.
  void send(Frame& request);
  [[nodiscard]] Answer receive(std::int64_t deadline_ns);

  // Kills it. When this returns it is reaped: it has no thread, no descriptor and no context of a device left. Throws
  // Error(unavailable) where it has not ended after two minutes: it is then left behind, and not spoken of again.
  void end();

  [[nodiscard]] bool alive() const { return pid_ > 0; }
  [[nodiscard]] const json::object& hello() const { return hello_; }
  [[nodiscard]] int socket() const { return socket_.get(); }

 private:
  void spawn(const Launch& launch);
  void reap(Answer& answer);  // waits for the end and says how it was
  [[nodiscard]] Answer broken(const std::string& how);
  // False when it is not gone after two minutes: what waits in a driver for a GPU cannot be killed, and is left behind.
  [[nodiscard]] bool kill();

  pid_t pid_ = -1;
  UniqueFd socket_;
  json::object hello_;
  std::int64_t ticket_ = -1;  // of the request under way: random, and in its answer
  std::int64_t asked_ns_ = 0;
  bool spoke_unasked_ = false;
};

}  // namespace kiln::worker
