#include "daemon/kilnd/config.h"

#include <doctest/doctest.h>

#include "daemon/kilnd/layout.h"
#include "daemon/kilnd/options.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

using namespace kiln;
using namespace kiln::kilnd;

namespace {

std::string refusal(const std::string& text) {
  try {
    (void)parse_config(text, "k.toml", {});
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_input);
    return error.what();
  }
  return "accepted";
}

const std::string kWhole =
    "[paths]\nstate = \"/s\"\nsocket = \"/r/c.sock\"\ncorpus = \"/c.db\"\nworker = \"/w\"\ninclude = \"/i\"\npolicy = "
    "\"/p.toml\"\n"
    "[gpu]\ndevice = 3\n"
    "[access]\nviewer_groups = [\"a\", \"12\"]\noperator_groups = [\"b\"]\nadmin_groups = []\nsocket_group = \"g\"\n"
    "[limits]\nclients = 10\nclients_per_uid = 5\nblob_bytes = 2097152\nobject_cache_bytes = 7\n"
    "request_seconds = 3\nidle_seconds = 60\n[log]\nlevel = \"debug\"\n";

}  // namespace

TEST_CASE("every key is read") {
  const Settings s = parse_config(kWhole, "k.toml", {});
  CHECK(s.state == "/s");
  CHECK(s.socket == "/r/c.sock");
  CHECK(s.corpus == "/c.db");
  CHECK(s.worker == "/w");
  CHECK(s.include == "/i");
  CHECK(s.policy == "/p.toml");
  CHECK(s.gpu == 3);
  CHECK(s.viewer_groups == std::vector<std::string>{"a", "12"});
  CHECK(s.operator_groups == std::vector<std::string>{"b"});
  CHECK(s.admin_groups.empty());
  CHECK(s.socket_group == "g");
  CHECK(s.limits.clients == 10);
  CHECK(s.limits.clients_per_uid == 5);
  CHECK(s.limits.blob_bytes == 2097152);
  CHECK(s.object_cache_bytes == 7);
  CHECK(s.limits.request == std::chrono::seconds(3));
  CHECK(s.limits.idle == std::chrono::seconds(60));
  CHECK(s.level == Level::debug);
}

TEST_CASE("an empty file changes nothing") {
  CHECK(changes({}, parse_config("", "k.toml", {})).empty());
  CHECK(changes({}, parse_config("[paths]\n", "k.toml", {})).empty());
}

TEST_CASE("what is wrong is refused with its place") {
  CHECK(refusal("[paths]\nstate = 3\n") ==
        "cannot load configuration 'k.toml': line 2, column 9: 'paths.state': a string is needed");
  CHECK(refusal("[paths]\nstate = \"relative\"\n")
            .find("line 2, column 9: 'paths.state': 'relative' is no absolute path") != std::string::npos);
  CHECK(refusal("[paths]\n\nstat = \"/x\"\n").find("line 3, column 8: unknown key 'paths.stat'") != std::string::npos);
  CHECK(refusal("[path]\nstate = \"/x\"\n").find("unknown section 'path'") != std::string::npos);
  CHECK(refusal("state = \"/x\"\n").find("outside of any section") != std::string::npos);
  CHECK(refusal("[access]\nadmin_groups = \"root\"\n").find("an array of strings is needed") != std::string::npos);
  CHECK(refusal("[access]\nadmin_groups = [1]\n").find("an array of strings is needed") != std::string::npos);
  CHECK(refusal("[access]\nadmin_groups = [\"\"]\n").find("an array of strings is needed") != std::string::npos);
  CHECK(refusal("[limits]\nclients = 0\n").find("0 is outside 1 to 4096") != std::string::npos);
  CHECK(refusal("[limits]\nclients = 1.5\n").find("an integer is needed") != std::string::npos);
  CHECK(refusal("[log]\nlevel = \"loud\"\n").find("line 2, column 9: 'log.level': 'loud' is none of") !=
        std::string::npos);
  CHECK(refusal("[log]\nlevel = \n").find("line 2") != std::string::npos);
  CHECK(refusal("[log]\nlevel = \"info\"\nlevel = \"info\"\n").find("line 3") != std::string::npos);
}

TEST_CASE("a file cut at any byte is taken or refused, never half understood") {
  for (std::size_t n = 0; n <= kWhole.size(); ++n) {
    try {
      (void)parse_config(kWhole.substr(0, n), "cut.toml", {});
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_input);
    }
  }
}

TEST_CASE("changes are told key by key, with those that wait for a restart") {
  Settings to = parse_config(kWhole, "k.toml", {});
  Settings from = to;
  to.state = "/other";
  to.limits.idle = std::chrono::seconds(61);
  to.admin_groups = {"x", "y"};
  const std::vector<Change> list = changes(from, to);
  REQUIRE(list.size() == 3);
  CHECK(list[0].key == "paths.state");
  CHECK(list[0].at_restart);
  CHECK(list[1].to == "x, y");
  CHECK(list[2].key == "limits.idle_seconds");
  CHECK(list[2].from == "60 s");
  CHECK_FALSE(list[2].at_restart);
}

TEST_CASE("groups are names or numbers; an unknown name is refused with its key") {
  Settings s;
  s.viewer_groups = {"root", "4321"};  // root is group 0 everywhere
  CHECK(resolve_access(s).viewer_groups == std::vector<gid_t>{0, 4321});
  s.admin_groups = {"no-such-group-here"};
  CHECK_THROWS_WITH_AS((void)resolve_access(s),
                       "cannot use group 'no-such-group-here' of 'access.admin_groups': there is no such group", Error);
}

TEST_CASE("the sample configuration holds every key, and what it comments out are the defaults") {
  std::string text = read_file(KILN_SOURCE_DIR "/daemon/kilnd/kilnd.toml");
  Settings defaults;
  defaults.state = default_state(false);
  defaults.socket = default_socket(false);
  defaults.policy = layout_of("/usr/sbin/kilnd").policy;
  const Settings plain = parse_config(text, "kilnd.toml", defaults);
  std::string open;
  for (std::size_t i = 0; i < text.size(); ++i)  // "# key = value" becomes "key = value"; prose stays a comment
    if (text.compare(i, 2, "# ") == 0 && (i == 0 || text[i - 1] == '\n') &&
        text.substr(i + 2, text.find('\n', i) - i - 2).find(" = ") != std::string::npos)
      ++i;
    else open += text[i];
  CHECK(changes(plain, parse_config(open, "kilnd.toml", defaults)).empty());
  for (const char* key :
       {"state", "socket", "policy", "viewer_groups", "operator_groups", "admin_groups", "socket_group", "clients",
        "clients_per_uid", "blob_bytes", "object_cache_bytes", "request_seconds", "idle_seconds", "level", "device"})
    CHECK(open.find("\n" + std::string(key) + " = ") != std::string::npos);
}

TEST_CASE("options") {
  Exit exit = Exit::ok;
  const char* good[] = {"kilnd", "--user", "--state", "/s", "--socket", "/c", "--foreground"};
  const auto options = parse_options(7, good, exit);
  REQUIRE(options);
  CHECK(options->user);
  CHECK(options->foreground);
  CHECK(load_settings(*options).state == "/s");
  const char* bad[] = {"kilnd", "--frobnicate"};
  CHECK_FALSE(parse_options(2, bad, exit));
  CHECK(exit == Exit::usage);
  CHECK(exit_of(ErrorCode::invalid_input) == Exit::configuration);
  CHECK(exit_of(ErrorCode::conflict) == Exit::conflict);
  CHECK(exit_of(ErrorCode::corrupt) == Exit::damaged);
}
