// Who may call: roles from the identity that the kernel gives of a peer. One function on one table, default deny.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace kiln::control {

enum class Role : std::uint8_t { none, viewer, operate, admin };  // in order: each may do what those before it may
[[nodiscard]] std::string_view name(Role role);                   // "none", "viewer", "operator", "admin"

// A peer at connect time. Integers only, never a name: text that a client influences takes no part in the decision.
struct Peer {
  uid_t uid = 65534;
  pid_t pid = 0;  // for messages; a pid may be reused, so nothing is decided by it
  std::vector<gid_t> groups;  // primary group included
};

struct AccessRules {
  uid_t own_uid = 0;  // the daemon's: admin
  std::vector<gid_t> viewer_groups;
  std::vector<gid_t> operator_groups;
  std::vector<gid_t> admin_groups;
};

// The kernel shows this id for peers that have none in our user namespace: it never has a role.
inline constexpr unsigned kOverflowId = 65534;

[[nodiscard]] Role role_of(const Peer& peer, const AccessRules& rules);

// SO_PEERCRED and SO_PEERGROUPS of a connected AF_UNIX socket: no name-service call, no race with group changes.
// Throws Error(io).
[[nodiscard]] Peer peer_of(int socket);

}  // namespace kiln::control
