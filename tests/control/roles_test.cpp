#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/control/dispatch.h"
#include "daemon/control/roles.h"
#include "tests/control/world.h"

using namespace kiln;
using namespace kiln::control;

namespace {

const AccessRules kRules{900, {7001}, {7002}, {7003}};

Role role(uid_t uid, std::vector<gid_t> groups) { return role_of({uid, 1, std::move(groups)}, kRules); }

}  // namespace

TEST_CASE("a role comes from the uid or a configured group, and from nothing else") {
  CHECK(role(0, {}) == Role::admin);
  CHECK(role(900, {}) == Role::admin);
  CHECK(role(5000, {}) == Role::none);
  CHECK(role(5000, {0, 900, 5000}) == Role::none);  // root's group is not root
  CHECK(role(5000, {1, 7001}) == Role::viewer);
  CHECK(role(5000, {7001, 7002}) == Role::operate);
  CHECK(role(5000, {7003, 7001}) == Role::admin);
  CHECK(role(7003, {}) == Role::none);  // a uid is not a gid
}

TEST_CASE("the overflow id never has a role") {
  CHECK(role(65534, {7003}) == Role::none);
  CHECK(role_of({65534, 1, {}}, {65534, {}, {}, {}}) == Role::none);
  CHECK(role_of({5000, 1, {65534}}, {900, {65534}, {65534}, {65534}}) == Role::none);
}

TEST_CASE("a peer is who the kernel says") {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  const UniqueFd a(pair[0]), b(pair[1]);
  const Peer peer = peer_of(a.get());
  CHECK(peer.uid == ::geteuid());
  CHECK(peer.pid == ::getpid());
  CHECK(peer.groups.front() == ::getegid());
  std::vector<gid_t> groups(1024);
  groups.resize(static_cast<std::size_t>(::getgroups(1024, groups.data())));
  CHECK(std::vector<gid_t>(peer.groups.begin() + 1, peer.groups.end()) == groups);
}

TEST_CASE("every route refuses every role below its own, and no other") {
  testing::World world;
  Context context(world.services());
  int pairs = 0;
  for (const Route& route : routes()) {
    for (const Role caller : {Role::none, Role::viewer, Role::operate, Role::admin}) {
      Request request;
      request.method = std::string(route.method);
      request.path = std::string(route.pattern);
      request.role = caller;
      const Admission admission = admit(context, request, 0);
      CAPTURE(request.path);
      REQUIRE(admission.route == &route);
      CHECK(admission.granted == (static_cast<int>(caller) >= static_cast<int>(route.role)));
      if (!admission.granted) CHECK(admission.refusal.status == 403);
      ++pairs;
    }
  }
  CHECK(pairs == static_cast<int>(routes().size()) * 4);
  for (const Route& route : routes())  // nothing is open to whoever has no role, and nothing that changes is a viewer's
    CHECK((route.role > Role::none && (!route.mutates || route.role > Role::viewer)));
}
