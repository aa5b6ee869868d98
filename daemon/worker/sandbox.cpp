#include "daemon/worker/sandbox.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/error.h"
#include "runtime/base/unique_fd.h"

namespace kiln::worker {
namespace {

// GCC defines __SANITIZE_ADDRESS__, Clang answers this.
#if defined(__has_feature)
#define KILN_HAS_SANITIZER (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define KILN_HAS_SANITIZER 0
#endif

bool write_text(const char* path, const std::string& text) {
  const UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

void set_limit(__rlimit_resource which, std::int64_t value) {
  const rlimit limit{static_cast<rlim_t>(value), static_cast<rlim_t>(value)};
  if (::setrlimit(which, &limit) != 0) throw system_error("cannot set a resource limit", errno);
}

void limit_resources(const SandboxRules& rules) {
  set_limit(RLIMIT_CORE, 0);
  set_limit(RLIMIT_NOFILE, 256);
  set_limit(RLIMIT_FSIZE, rules.file_bytes);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !KILN_HAS_SANITIZER
  if (rules.memory_bytes > 0) set_limit(RLIMIT_AS, rules.memory_bytes);  // a sanitizer's shadow alone needs terabytes
  if (rules.data_bytes > 0) set_limit(RLIMIT_DATA, rules.data_bytes);
#endif
  if (rules.cpu_seconds > 0) set_limit(RLIMIT_CPU, rules.cpu_seconds);
}

// Its own user namespace maps only itself; with it come an empty network and message-queue namespace.
void unshare_namespaces(std::vector<std::string>& active) {
  const uid_t uid = ::getuid();
  const gid_t gid = ::getgid();
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) != 0) return;
  (void)write_text("/proc/self/setgroups", "deny");  // without it the gid map is refused, and gid 65534 serves as well
  (void)write_text("/proc/self/uid_map", std::to_string(uid) + " " + std::to_string(uid) + " 1");
  (void)write_text("/proc/self/gid_map", std::to_string(gid) + " " + std::to_string(gid) + " 1");
  active.insert(active.end(), {"user_namespace", "network_namespace"});
}

constexpr std::uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE;
constexpr std::uint64_t kFileOnly =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE;
constexpr std::uint64_t kEverything = (std::uint64_t{LANDLOCK_ACCESS_FS_MAKE_SYM} << 1) - 1;  // ABI 1
constexpr std::uint64_t kRefer = 1u << 13, kTruncate = 1u << 14;                              // ABI 2 and 3

// linux/landlock.h of Linux 6.12 (ABI 6), by hand: the headers that Kiln is built with are older than the kernels it
// meets. Each ABI knows a longer prefix of it.
struct LandlockAttributes {
  std::uint64_t handled_access_fs = 0;
  std::uint64_t handled_access_net = 0;
  std::uint64_t scoped = 0;
};

void allow(int ruleset, const std::filesystem::path& path, std::uint64_t access) {
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) return;  // what does not exist needs no rule
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) access &= kFileOnly | kTruncate;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access;
  rule.parent_fd = fd.get();
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
    throw system_error("cannot add a Landlock rule for '" + path.string() + "'", errno);
}

void enter_landlock(const SandboxRules& rules, std::vector<std::string>& active) {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) return;
  std::uint64_t handled = kEverything;
  if (abi >= 2) handled |= kRefer;
  if (abi >= 3) handled |= kTruncate;
  LandlockAttributes attributes;
  attributes.handled_access_fs = handled;
  std::size_t size = sizeof attributes.handled_access_fs;
  if (abi >= 4) {
    attributes.handled_access_net = 3;  // bind and connect of TCP: no rule allows any
    size += sizeof attributes.handled_access_net;
  }
  if (abi >= 6) {
    attributes.scoped = 3;  // abstract sockets and signals: nothing outside this sandbox
    size += sizeof attributes.scoped;
  }
  const UniqueFd ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
  if (!ruleset) throw system_error("cannot make a Landlock ruleset", errno);
  // Libraries and tools; the loader's cache; what OpenMP and the C library read of the machine. No /etc beside, no
  // /home.
  for (const char* path : {"/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives", "/proc/cpuinfo",
                           "/proc/meminfo", "/proc/self", "/sys/devices/system", "/dev/urandom"})
    allow(ruleset.get(), path, kRead);
  for (const char* path : {"/dev/null", "/dev/zero"}) allow(ruleset.get(), path, kFileOnly);
  for (const auto& path : rules.read) allow(ruleset.get(), path, kRead);
  for (const auto& path : rules.write) allow(ruleset.get(), path, handled);
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) throw system_error("cannot enter Landlock", errno);
  active.push_back("landlock:" + std::to_string(abi));
}

// Why each group is refused: a socket is a way out; tracing and foreign memory reach other workers; namespaces, mounts,
// keys, modules, bpf, perf, io_uring and userfaultfd are the kernel's widest surfaces and no kernel template needs
// them. `refusal`: what a forbidden call meets.
void load_filter(const SandboxRules& rules, std::uint32_t refusal) {
  scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ALLOW);
  if (!filter) throw Error(ErrorCode::internal, "cannot make a seccomp filter");
  const auto check = [&](int failed, const std::string& what) {
    if (failed == 0) return;
    ::seccomp_release(filter);
    throw system_error("cannot add '" + what + "' to the seccomp filter", -failed);
  };
  const auto deny = [&](const char* call) {
    const int number = ::seccomp_syscall_resolve_name(call);
    if (number != __NR_SCMP_ERROR) check(::seccomp_rule_add(filter, refusal, number, 0), call);
  };
  for (const char* call : {"socketpair",
                           "connect",
                           "accept",
                           "accept4",
                           "ptrace",
                           "process_vm_readv",
                           "process_vm_writev",
                           "pidfd_getfd",
                           "kcmp",
                           "mount",
                           "umount2",
                           "pivot_root",
                           "chroot",
                           "move_mount",
                           "fsopen",
                           "fsmount",
                           "open_tree",
                           "setns",
                           "unshare",
                           "bpf",
                           "perf_event_open",
                           "userfaultfd",
                           "io_uring_setup",
                           "io_uring_enter",
                           "io_uring_register",
                           "add_key",
                           "request_key",
                           "keyctl",
                           "kexec_load",
                           "kexec_file_load",
                           "init_module",
                           "finit_module",
                           "delete_module",
                           "open_by_handle_at",
                           "reboot",
                           "swapon",
                           "swapoff",
                           "acct",
                           "quotactl",
                           "syslog",
                           "iopl",
                           "ioperm",
                           "settimeofday",
                           "clock_settime",
                           "adjtimex",
                           "sethostname",
                           "setdomainname",
                           "personality"})
    deny(call);
  if (rules.may_listen_locally) {
    const scmp_arg_cmp not_local{0, SCMP_CMP_NE, AF_UNIX, 0};
    check(::seccomp_rule_add_array(filter, refusal, SCMP_SYS(socket), 1, &not_local), "socket");
  } else {
    for (const char* call : {"socket", "bind", "listen"}) deny(call);
  }
  if (!rules.may_make_memory_files) deny("memfd_create");
  if (!rules.may_execute) {
    for (const char* call : {"execve", "execveat", "fork", "vfork", "kill", "pidfd_send_signal"}) deny(call);
    // Threads are clones that share memory; anything else would be a process. clone3 hides its flags behind a pointer,
    // and the C library falls back to clone when it is missing.
    const scmp_arg_cmp unshared_memory{0, SCMP_CMP_MASKED_EQ, CLONE_VM, 0};
    check(::seccomp_rule_add_array(filter, refusal, SCMP_SYS(clone), 1, &unshared_memory), "clone");
    check(::seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), "clone3");
  }
  check(::seccomp_load(filter), "the filter");
  ::seccomp_release(filter);
}

bool has(const std::vector<std::string>& active, std::string_view prefix) {
  return std::any_of(active.begin(), active.end(), [&](const std::string& item) { return item.starts_with(prefix); });
}

std::string read_small(const char* path) {
  const UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
  std::string text(1 << 16, '\0');
  const ssize_t n = file ? ::read(file.get(), text.data(), text.size()) : 0;
  text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return text;
}

// A fresh network namespace may show interfaces (tunnel modules add theirs to each), but none is up: there is no route,
// and no address. /proc/net/route has one line of heading.
bool reaches_a_network() {
  const std::string routes = read_small("/proc/self/net/route");
  return std::count(routes.begin(), routes.end(), '\n') > 1 || !read_small("/proc/self/net/if_inet6").empty();
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::permission, "cannot work: the sandbox is not in force: " + what, "kctl doctor");
}

}  // namespace

std::vector<std::string> enter_sandbox(const SandboxRules& rules) {
  std::vector<std::string> active;
  unshare_namespaces(active);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw system_error("cannot give up new privileges", errno);
  active.emplace_back("no_new_privs");
  if (!rules.stays_dumpable && ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    throw system_error("cannot become undumpable", errno);
  limit_resources(rules);
  active.emplace_back("rlimits");
  enter_landlock(rules, active);
  load_filter(rules, SCMP_ACT_ERRNO(EPERM));
  active.emplace_back("seccomp");
  return active;
}

void arm_sandbox(const SandboxRules& rules) { load_filter(rules, SCMP_ACT_KILL_PROCESS); }

void arm_code() {
  static bool armed = false;
  if (armed) return;
  scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ALLOW);
  if (!filter) throw Error(ErrorCode::internal, "cannot make a seccomp filter");
  const auto kill_if = [&](const char* call, unsigned argument, std::uint64_t flag) {
    const scmp_arg_cmp set{argument, SCMP_CMP_MASKED_EQ, flag, flag};
    return ::seccomp_rule_add_array(filter, SCMP_ACT_KILL_PROCESS, ::seccomp_syscall_resolve_name(call), 1, &set);
  };
  const auto kill = [&](const char* call) {
    return ::seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, ::seccomp_syscall_resolve_name(call), 0);
  };
  constexpr unsigned kProtection = 2, kMoveFlags = 3;
  int failed = ::seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);  // libkiln's threads run kernels too
  for (const char* call : {"mmap", "mprotect", "pkey_mprotect"})
    if (failed == 0) failed = kill_if(call, kProtection, PROT_EXEC);
  // The C library's realloc moves memory, but never to a chosen place, which could be that of code.
  if (failed == 0) failed = kill_if("mremap", kMoveFlags, MREMAP_FIXED);
  for (const char* call : {"shmat", "remap_file_pages"})
    if (failed == 0) failed = kill(call);
  if (failed == 0) failed = ::seccomp_load(filter);
  ::seccomp_release(filter);
  if (failed != 0) throw system_error("cannot forbid new code", -failed);
  armed = true;
}

void prove_sandbox(const SandboxRules& rules, const std::vector<std::string>& active) {
  if (has(active, "no_new_privs") && ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) refuse("new privileges can be had");
  if (has(active, "network_namespace") && reaches_a_network()) refuse("the node's network is there");
  if (has(active, "seccomp")) {
    if (const UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0)); fd) refuse("a network socket could be made");
    if (const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0)); fd && !rules.may_listen_locally)
      refuse("a local socket could be made");
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0) refuse("ptrace is allowed");
    if (!rules.may_execute) {
      if (::kill(::getppid(), 0) == 0) refuse("the parent can be signalled");
      char name[] = "/nonexistent";
      char* argv[] = {name, nullptr};
      if (::execve(name, argv, nullptr) != 0 && errno != EPERM) refuse("programs can be started");
      const auto child = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
      if (child == 0) ::_exit(0);
      if (child > 0) refuse("a process can be made");
    }
  }
  if (has(active, "landlock:6") || has(active, "landlock:7") || has(active, "landlock:8"))
    if (::kill(::getppid(), 0) == 0) refuse("the parent can be signalled");
  if (has(active, "landlock")) {
    for (const char* path : {"/etc/passwd", "/etc/hostname"})
      if (const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC)); fd) refuse(std::string("'") + path + "' can be read");
    if (const UniqueFd fd(::open("/tmp/.kiln-sandbox-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)); fd)
      refuse("a file can be made in /tmp");
  }
}

}  // namespace kiln::worker
