#include "daemon/kctl/session.h"

#include <fmt/core.h>

#include <cstdio>

#include "runtime/base/json.h"

namespace kiln::kctl {

Exit exit_of(const Error& error) {
  if (dynamic_cast<const UsageError*>(&error) != nullptr) return Exit::usage;
  if (dynamic_cast<const Unreachable*>(&error) != nullptr) return Exit::unreachable;
  switch (error.code()) {
    case ErrorCode::permission: return Exit::refused;
    case ErrorCode::not_found: return Exit::not_found;
    default: return Exit::failed;
  }
}

Client& Session::daemon() {
  if (!client) client = std::make_unique<Client>(socket);
  return *client;
}

std::string Session::paint(std::string_view sgr, std::string_view text) const {
  return color ? fmt::format("\x1b[{}m{}\x1b[0m", sgr, text) : std::string(text);
}

std::filesystem::path socket_path(const std::string& option, const char* kiln_socket, const char* runtime_dir) {
  if (!option.empty()) return option;
  if (kiln_socket != nullptr && *kiln_socket != '\0') return kiln_socket;
  if (runtime_dir != nullptr && *runtime_dir != '\0') {
    const std::filesystem::path own = std::filesystem::path(runtime_dir) / "kiln/control.sock";
    std::error_code ignored;  // a folder that cannot be read holds no socket for this user
    if (std::filesystem::exists(own, ignored)) return own;
  }
  return "/run/kiln/control.sock";
}

void print_json(const json::value& v) { fmt::print("{}", json::pretty(v)); }  // ends its line itself
void print_line(std::string_view text) { fmt::print("{}\n", text); }
void say(std::string_view text) { fmt::print(stderr, "{}\n", text); }

}  // namespace kiln::kctl
