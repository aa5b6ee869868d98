// What every command gets: where the daemon is, how to print, and the exit statuses that kctl(1) promises.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "daemon/kctl/client.h"
#include "runtime/base/error.h"
#include "runtime/base/json_fwd.h"

namespace kiln::kctl {

enum class Exit : int {
  done = 0,  // also when there was nothing to do
  failed = 1,
  usage = 2,
  unreachable = 3,
  refused = 4,  // by role
  not_found = 5,
  unverified = 6,
  not_faster = 7,  // promote: the record speaks against the release, and --force was not given
  interrupted = 130,
};

// A command line that cannot be meant.
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(ErrorCode::invalid_input, message, "see 'kctl --help'") {}
};

// The exit status that an error leads to.
[[nodiscard]] Exit exit_of(const Error& error);

struct Session {
  std::filesystem::path socket;
  bool json = false;
  bool color = false;        // standard output takes escape sequences for colour
  bool live = false;         // standard error is a terminal: progress is drawn in place
  std::unique_ptr<Client> client;

  // Connects lazily: commands that need no daemon work without one.
  [[nodiscard]] Client& daemon();
  // `text` in an SGR colour ("1" bold, "31" red, "32" green, "33" yellow) where colours are shown.
  [[nodiscard]] std::string paint(std::string_view sgr, std::string_view text) const;
};

// The socket to use: the option, else $KILN_SOCKET, else $XDG_RUNTIME_DIR/kiln/control.sock where it exists, else
// /run/kiln/control.sock. Null or empty strings count as not given.
[[nodiscard]] std::filesystem::path socket_path(const std::string& option, const char* kiln_socket,
                                                const char* runtime_dir);

void print_json(const json::value& v);   // pretty, to standard output
void print_line(std::string_view text);  // data, to standard output
void say(std::string_view text);         // a message, to standard error

}  // namespace kiln::kctl
