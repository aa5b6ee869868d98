// What every resource is given, and the figures that the daemon keeps of itself. Figures are atomics: the I/O thread
// and the back room both touch them.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "daemon/control/services.h"

namespace kiln::control {

struct Figures {
  std::atomic<std::uint64_t> requests{0};         // answered
  std::atomic<std::uint64_t> refused{0};          // by role
  std::atomic<std::uint64_t> failed{0};           // answered with 5xx
  std::atomic<std::uint64_t> clients_refused{0};  // over the limit of clients
  std::atomic<std::uint64_t> requests_cut{0};     // not complete in time
  std::atomic<std::uint64_t> readers_dropped{0};  // slow event readers
  std::atomic<std::uint64_t> audit_failed{0};
};

struct Context {
  explicit Context(const Services& s) : services(s) {}

  Services services;
  Figures figures;
  std::int64_t started_ns = 0;
  std::atomic<std::int64_t> blob_limit_bytes{std::int64_t{16} << 30};
  std::atomic<std::int64_t> last_event{0};
  std::atomic<int> clients{0};
  std::atomic<bool> draining{false};
  std::atomic<bool> verifying{
      false};  // one ledger verification at a time, one doctor, one golden run: none may fill the back room
  std::atomic<bool> examining{false};
  std::atomic<bool> proving{false};
};

[[nodiscard]] std::string version();
[[nodiscard]] std::int64_t wall_clock_ns();

}  // namespace kiln::control
