#include "daemon/control/roles.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/error.h"

namespace kiln::control {

std::string_view name(Role role) {
  switch (role) {
    case Role::none: return "none";
    case Role::viewer: return "viewer";
    case Role::operate: return "operator";
    case Role::admin: return "admin";
  }
  return "none";
}

namespace {

bool in_any(const Peer& peer, const std::vector<gid_t>& groups) {
  return std::any_of(peer.groups.begin(), peer.groups.end(), [&](gid_t g) {
    return g != kOverflowId && std::find(groups.begin(), groups.end(), g) != groups.end();
  });
}

}  // namespace

Role role_of(const Peer& peer, const AccessRules& rules) {
  if (peer.uid == kOverflowId) return Role::none;
  if (peer.uid == 0 || peer.uid == rules.own_uid) return Role::admin;
  if (in_any(peer, rules.admin_groups)) return Role::admin;
  if (in_any(peer, rules.operator_groups)) return Role::operate;
  if (in_any(peer, rules.viewer_groups)) return Role::viewer;
  return Role::none;
}

Peer peer_of(int socket) {
  struct ucred credentials {};
  socklen_t length = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
    throw system_error("cannot read the peer's credentials on the control socket", errno);
  Peer peer{credentials.uid, credentials.pid, {credentials.gid}};
  std::vector<gid_t> groups(64);
  for (;;) {
    length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length) == 0) break;
    // ERANGE: the kernel has put the needed length into `length`; NGROUPS_MAX bounds it.
    if (errno != ERANGE || length <= groups.size() * sizeof(gid_t) || length > 65536 * sizeof(gid_t))
      throw system_error("cannot read the peer's groups on the control socket", errno);
    groups.resize(length / sizeof(gid_t));
  }
  groups.resize(length / sizeof(gid_t));
  peer.groups.insert(peer.groups.end(), groups.begin(), groups.end());
  return peer;
}

}  // namespace kiln::control
