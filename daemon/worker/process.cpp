#include "daemon/worker/process.h"

#include <fcntl.h>
#include <sched.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>

#include "daemon/worker/memory.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

constexpr std::int64_t kHelloNs = 20'000'000'000;
constexpr std::int64_t kAnswerNs = 1'000'000'000;  // of one that has begun
constexpr int kEndSeconds = 120;  // after SIGKILL: a driver may have to reset what its kernel was at

ErrorCode code_from(const std::string& text) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::internal); ++i)
    if (name(static_cast<ErrorCode>(i)) == text) return static_cast<ErrorCode>(i);
  return ErrorCode::internal;
}

// Of a sanitizer build: leaks are looked for by tracing, which the sandbox forbids; a candidate's signal is to end the
// worker as it does in any other build, so that the verdict is the same.
constexpr const char* kSanitizer =
    "ASAN_OPTIONS=detect_leaks=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0";

// A worker knows nothing of its parent's environment but what a compiler needs.
std::vector<std::string> environment() {
  return {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", "TMPDIR=.", kSanitizer};
}

// Narrows the calling thread to the last `cores` of its cores for as long as it lives: a process that it starts keeps
// them, and all that process starts. The last, since a system's own work is rather on the first.
class Narrowed {
 public:
  explicit Narrowed(std::int32_t cores) {
    if (cores <= 0 || ::sched_getaffinity(0, sizeof before_, &before_) != 0) return;
    cpu_set_t fewer;
    CPU_ZERO(&fewer);
    for (int core = CPU_SETSIZE; core-- > 0 && CPU_COUNT(&fewer) < cores;)
      if (CPU_ISSET(core, &before_)) CPU_SET(core, &fewer);
    if (::sched_setaffinity(0, sizeof fewer, &fewer) != 0)
      throw system_error("cannot keep a worker to " + std::to_string(cores) + " cores", errno);
    narrowed_ = true;
  }
  ~Narrowed() {
    if (narrowed_) (void)::sched_setaffinity(0, sizeof before_, &before_);  // what was allowed a moment ago
  }
  Narrowed(const Narrowed&) = delete;
  Narrowed& operator=(const Narrowed&) = delete;

 private:
  cpu_set_t before_{};
  bool narrowed_ = false;
};

}  // namespace

WorkerProcess::WorkerProcess(const Launch& launch) {
  // One that was stopped from outside before its hello has said nothing of whether workers can be started.
  Answer answer;
  for (int attempt = 0; attempt < 3; ++attempt) {
    spawn(launch);
    answer = receive(monotonic_ns() + kHelloNs);
    if (!answer.stopped) break;
  }
  if (answer.kind != Answer::Kind::answered)
    throw Error(ErrorCode::unavailable, "cannot start a worker of role " + launch.role + ": " + answer.evidence,
                "kctl doctor");
  hello_ = answer.frame.body;
}

void WorkerProcess::spawn(const Launch& launch) {
  asked_ns_ = monotonic_ns();
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    throw system_error("cannot make a socket pair", errno);
  socket_ = UniqueFd(pair[0]);
  UniqueFd theirs(pair[1]);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), 3);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY,
                                   0);  // what generated code prints is nobody's business
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

  std::vector<std::string> words = {launch.program.string(), "--role", launch.role};
  words.insert(words.end(), launch.arguments.begin(), launch.arguments.end());
  std::vector<std::string> variables = environment();
  if (!launch.library_path.empty()) variables.push_back("LD_LIBRARY_PATH=" + launch.library_path);
  std::vector<char*> argv, envp;
  for (std::string& word : words) argv.push_back(word.data());
  for (std::string& variable : variables) envp.push_back(variable.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  const Narrowed narrowed(launch.cores);
  const int failed = ::posix_spawn(&pid_, launch.program.c_str(), &actions, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  theirs.reset();  // or its end would never be seen from here
  if (failed != 0) {
    pid_ = -1;
    throw system_error("cannot start the worker '" + launch.program.string() + "'", failed);
  }
}

WorkerProcess::~WorkerProcess() {
  if (alive()) (void)kill();  // ignoring: nobody starts another behind this, who would has called end()
}

void WorkerProcess::end() {
  if (!alive() || kill()) return;
  throw Error(ErrorCode::unavailable,
              "cannot go on: a worker that was killed has not ended " + std::to_string(kEndSeconds) +
                  " s after SIGKILL: it waits in a driver",
              "where it had a GPU, nvidia-smi -q says by 'GPU Recovery Action' what that wants");
}

void WorkerProcess::send(Frame& request) {
  // Bytes that nobody asked for: what is under way in there is not the worker's own loop any more.
  char byte = 0;
  spoke_unasked_ = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
  if (::getrandom(&ticket_, sizeof ticket_, 0) != sizeof ticket_) throw system_error("cannot draw a ticket", errno);
  ticket_ &= INT64_MAX;
  asked_ns_ = monotonic_ns();
  request.body["ticket"] = ticket_;
  // False: the worker is gone, and receive() says how it ended.
  if (!send_frame(socket_.get(), request)) (void)::shutdown(socket_.get(), SHUT_WR);
}

Answer WorkerProcess::receive(std::int64_t deadline_ns) {
  Answer answer;
  if (spoke_unasked_) {
    answer = broken("it spoke before it was asked");
    answer.stopped = true;  // no fault of this request
    return answer;
  }
  Received received = Received::closed;
  try {
    received = receive_frame(socket_.get(), deadline_ns, answer.frame);
  } catch (const Error& error) {
    return broken(error.what());
  }
  switch (received) {
    case Received::frame:
      if (hello_.size() > 0 && json::find_int(answer.frame.body, "ticket", "a worker frame") != ticket_)
        return broken("its answer has another ticket than the question");
      if (const auto error = json::find_string(answer.frame.body, "error", "a worker frame"))
        throw Error(code_from(json::get_string(answer.frame.body, "code", "a worker frame")), *error,
                    json::find_string(answer.frame.body, "remedy", "a worker frame").value_or(""));
      return answer;
    case Received::closed:
      answer.kind = Answer::Kind::crashed;
      reap(answer);
      return answer;
    case Received::timed_out: break;
  }
  end();
  answer.kind = Answer::Kind::hung;
  answer.evidence = "past its deadline after " + std::to_string((monotonic_ns() - asked_ns_) / 1'000'000) + " ms";
  return answer;
}

// Whatever wrote this is not the worker's own code any more.
Answer WorkerProcess::broken(const std::string& how) {
  end();
  Answer answer;
  answer.kind = Answer::Kind::crashed;
  answer.evidence = "killed after it broke the protocol: " + how;
  return answer;
}

Answer WorkerProcess::call(Frame& request, std::int64_t timeout_ns) {
  send(request);
  return receive(monotonic_ns() + timeout_ns);
}

Answer WorkerProcess::call(Frame& request, const Patience& patience) {
  send(request);
  const Mapped progress(request.fds.front().get(), Mapped::Access::read);
  std::int64_t deadline = patience.deadline_ns(asked_ns_, 0);
  while (!wait_readable(socket_.get(), deadline)) {
    deadline = patience.deadline_ns(asked_ns_, read_progress(progress.bytes()).step_ns);
    if (deadline <= monotonic_ns()) return receive(deadline);
  }
  return receive(std::max(deadline, monotonic_ns() + kAnswerNs));
}

void WorkerProcess::reap(Answer& answer) {
  // It closed its socket; give it a moment to be gone by itself, so that its own signal is what is reported.
  int status = 0;
  pid_t got = 0;
  for (int i = 0; i < 200 && (got = ::waitpid(pid_, &status, WNOHANG)) == 0; ++i) ::usleep(5'000);
  if (got == 0) {
    end();
    answer.evidence = "closed its socket without an answer";
    return;
  }
  (void)::kill(-pid_, SIGKILL);  // what it may have started; already gone is fine
  pid_ = -1;
  if (!WIFSIGNALED(status)) {
    answer.status = WEXITSTATUS(status);
    answer.evidence = "left with status " + std::to_string(WEXITSTATUS(status)) + " and no answer";
    return;
  }
  answer.stopped = WTERMSIG(status) == SIGKILL;
  answer.forbidden = WTERMSIG(status) == SIGSYS;
  answer.out_of_time = WTERMSIG(status) == SIGXCPU;
  answer.evidence = "killed by signal " + std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) + ")";
  if (answer.forbidden) answer.evidence += ": it made a system call that no kernel may make";
}

bool WorkerProcess::kill() {
  // Through a pidfd, so that a recycled process id can never be hit; the group holds what a compiler started.
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (pidfd) (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  (void)::kill(-pid_, SIGKILL);
  pollfd end{pidfd.get(), POLLIN, 0};
  const bool ended = !pidfd || ::poll(&end, 1, 1000 * kEndSeconds) > 0;
  if (ended) (void)::waitpid(pid_, nullptr, 0);  // ignoring how: it was killed
  pid_ = -1;
  return ended;
}

}  // namespace kiln::worker
