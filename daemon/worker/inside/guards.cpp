#include "daemon/worker/inside/guards.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "daemon/worker/guard_exit.h"
#include "runtime/base/error.h"

namespace kiln::worker {
namespace {

struct Closed {
  const std::byte* page = nullptr;
  GuardPage guard;
};
// Read by the signal handler: of fixed size, and never while it is written, since candidates do not run meanwhile.
std::array<Closed, 4096> closed;
std::size_t next = 0;

extern "C" void kiln_worker_on_fault(int signal, siginfo_t* info, void* context) {
  const auto* const address = static_cast<const std::byte*>(info->si_addr);
  for (const Closed& c : closed) {
    if (!c.page || address < c.page || address >= c.page + kGuardBytes) continue;
    bool wrote = false;
#if defined(__x86_64__)
    constexpr long long kWriteAccess = 2;  // of the page fault's error code (Intel SDM 3A, 4.7)
    wrote = (static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_ERR] & kWriteAccess) != 0;
#else
    (void)context;
#endif
    ::_exit(exit_status_of({wrote, c.guard.side, c.guard.window}));
  }
  (void)::signal(signal, SIG_DFL);  // and the access is tried again
}

void catch_faults() {
  struct sigaction action {};
  action.sa_sigaction = kiln_worker_on_fault;
  action.sa_flags = SA_SIGINFO;
  for (const int signal : {SIGSEGV, SIGBUS})
    if (::sigaction(signal, &action, nullptr) != 0) throw system_error("cannot catch faults", errno);
}

}  // namespace

void close_guard_pages(std::span<std::byte> arena, const ArenaLayout& layout) {
  if (next == 0) catch_faults();
  for (const GuardPage& guard : guard_pages(layout)) {
    std::byte* const page = arena.data() + guard.offset;
    if (::mprotect(page, kGuardBytes, PROT_NONE) != 0) throw system_error("cannot close a guard page", errno);
    closed[next++ % closed.size()] = {page, guard};
  }
}

}  // namespace kiln::worker
