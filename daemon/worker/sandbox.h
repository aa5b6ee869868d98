// What a worker may do. Applied by the worker to itself, once, while it has one thread; the order is namespaces,
// limits, Landlock, seccomp, and then a self-test that tries what must fail and refuses to work when anything succeeds.
//
// Theory of operation. A worker runs compilers on generated text (build), generated code (run), or parsers on a
// stranger's file (import). It inherits standard streams and one socket (descriptor 3), nothing else. It sees the
// system's libraries read-only and the folders of its role; the state folder, the keys and other users' files do not
// open. It reaches no network: its own empty network namespace where the kernel grants one, and no socket() call in any
// case. It can signal and trace nobody. What is left to generated code: processor time and memory up to the parent's
// deadline and limits, the caches, and its own frames, which the parent parses as hostile. A missing mechanism is
// reported, not hidden: hello names what is active.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace kiln::worker {

struct SandboxRules {
  std::vector<std::filesystem::path> read;   // with everything below, also executable
  std::vector<std::filesystem::path> write;  // with everything below
  bool may_execute = false;                  // the build role starts compilers
  bool armed = false;                        // see arm_sandbox()
  bool stays_dumpable = false;  // a GPU's driver writes its own /proc/self, which an undumpable process does not own
  bool may_listen_locally = false;    // NVIDIA's cuInit makes, binds and listens on a socket of AF_UNIX
  std::int64_t memory_bytes = 0;      // address space; 0: not limited (vendor libraries reserve much)
  std::int64_t data_bytes = 0;        // private memory that can be written; 0: not limited
  bool may_make_memory_files = true;  // they count against no limit of the process
  std::int64_t cpu_seconds = 0;       // 0: the parent's deadlines only
  std::int64_t file_bytes = std::int64_t{1} << 30;
};

// Returns the active mechanisms: "no_new_privs", "rlimits", "user_namespace", "network_namespace", "landlock:7",
// "seccomp".
[[nodiscard]] std::vector<std::string> enter_sandbox(const SandboxRules& rules);

// Tries a socket, a foreign file, ptrace and, unless the role may, a signal to the parent, an execve and a new process;
// looks at the privilege bit and for a network. Throws Error(permission) naming the first that succeeded although the
// mechanism against it is active.
void prove_sandbox(const SandboxRules& rules, const std::vector<std::string>& active);

// For the role that runs generated code, after the proof: from now on a forbidden system call ends the process by
// SIGSYS instead of failing, so that who makes one is known for it.
void arm_sandbox(const SandboxRules& rules);

// From now on, in all threads, what makes memory executable or moves it to a chosen place ends the process by SIGSYS.
// Before the first instruction of generated code, after the loader has mapped it: a kernel that patches its worker or
// brings code of its own is known for it. Without effect the second time.
void arm_code();

}  // namespace kiln::worker
