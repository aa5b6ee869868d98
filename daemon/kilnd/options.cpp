#include "daemon/kilnd/options.h"

#include <CLI/CLI.hpp>

#include "daemon/kilnd/layout.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

namespace kiln::kilnd {
namespace {

constexpr const char* kSystemConfig = "/etc/kiln/kilnd.toml";
constexpr const char* kFooter =
    "Signals: TERM and INT pause a running job and stop; HUP loads the configuration again.\n"
    "Exit codes: 0 ended as told, 1 failed, 2 wrong usage, 3 wrong configuration or policy,\n"
    "  4 another daemon is there, 5 store, corpus or key is damaged or too new.";

}  // namespace

Exit exit_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_input: return Exit::configuration;
    case ErrorCode::conflict: return Exit::conflict;
    case ErrorCode::corrupt:
    case ErrorCode::unsupported: return Exit::damaged;
    default: return Exit::failed;
  }
}

std::optional<Options> parse_options(int argc, const char* const* argv, Exit& exit) {
  Options options;
  CLI::App app("The Kiln daemon: tunes compute kernels for the models of this node.", "kilnd");
  app.footer(kFooter);
  app.set_version_flag("--version", "kilnd " KILN_VERSION);
  app.add_option("--config", options.config, "configuration file (default: " + std::string(kSystemConfig) + ")")
      ->type_name("FILE");
  app.add_option("--state", options.state, "state directory (default: /var/lib/kiln; with --user $XDG_STATE_HOME/kiln)")
      ->type_name("DIR");
  app.add_option("--socket", options.socket,
                 "control socket (default: /run/kiln/control.sock; with --user $XDG_RUNTIME_DIR/kiln/control.sock)")
      ->type_name("PATH");
  app.add_flag("--user", options.user, "for this user alone: no root, no systemd, socket mode 0600");
  app.add_flag("--foreground", options.foreground, "log plain lines to standard error, also under systemd");
  app.add_flag("--check-config", options.check_config, "check the configuration and end");
  exit = Exit::ok;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit = app.exit(error) == 0 ? Exit::ok : Exit::usage;
    return std::nullopt;
  }
  return options;
}

Settings load_settings(const Options& options) {
  const Layout layout = layout_of(own_executable());
  Settings settings;
  settings.corpus = layout.corpus;
  settings.worker = layout.worker;
  settings.include = layout.include;
  settings.policy = layout.policy;
  std::filesystem::path file = options.config;
  if (file.empty() && !options.user && std::filesystem::exists(kSystemConfig)) file = kSystemConfig;
  if (!file.empty()) settings = parse_config(read_file(file, 1 << 20), file.string(), settings);
  if (!options.state.empty()) settings.state = std::filesystem::absolute(options.state);
  if (!options.socket.empty()) settings.socket = std::filesystem::absolute(options.socket);
  if (settings.state.empty()) settings.state = default_state(options.user);
  if (settings.socket.empty()) settings.socket = default_socket(options.user);
  return settings;
}

}  // namespace kiln::kilnd
