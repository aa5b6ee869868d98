// The command line: one CLI11 sub-command per declaration of registry.cpp. The only file that knows CLI11.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "daemon/kctl/command.h"
#include "runtime/base/error.h"

namespace kiln::kctl {
namespace {

struct Bound {  // where CLI11 puts what it finds
  Parameter parameter;
  CLI::Option* option = nullptr;
  std::vector<std::string> texts;
};

struct Declared {
  Command command;
  CLI::App* app = nullptr;
  std::vector<std::unique_ptr<Bound>> parameters;
};

void declare(CLI::App& app, Bound& bound) {
  const Parameter& p = bound.parameter;
  const std::string name = p.kind == Parameter::Kind::positional ? p.name : "--" + p.name;
  if (p.kind == Parameter::Kind::flag) {
    bound.option = app.add_flag(name, p.help);
    return;
  }
  bound.option = app.add_option(name, bound.texts, p.help);
  bound.option->type_name(p.kind == Parameter::Kind::option ? p.value : "")->required(p.required);
  bound.option->type_size(1);
  bound.option->expected(1)->allow_extra_args(false);  // a vector would take what comes after
  bound.option->multi_option_policy(p.repeated ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::Throw);
}

CLI::App* existing(CLI::App& root, const std::string& name) {
  const auto found = root.get_subcommands([&](CLI::App* app) { return app->get_name() == name; });
  return found.empty() ? nullptr : found.front();
}

std::vector<std::unique_ptr<Declared>> declare_all(CLI::App& root) {
  std::vector<std::unique_ptr<Declared>> out;
  for (Command& command : commands()) {
    auto declared = std::make_unique<Declared>();
    const auto space = command.name.find(' ');
    CLI::App* parent = &root;
    if (space != std::string::npos) {
      const std::string group = command.name.substr(0, space);
      parent = existing(root, group);
      if (parent == nullptr) parent = root.add_subcommand(group, group_summary(group))->require_subcommand(1);
    }
    declared->app =
        parent->add_subcommand(command.name.substr(space == std::string::npos ? 0 : space + 1), command.summary);
    if (!command.role.empty()) declared->app->footer("Role: " + command.role);
    for (const Parameter& parameter : command.parameters) {
      declared->parameters.push_back(std::make_unique<Bound>(Bound{parameter, nullptr, {}}));
      declare(*declared->app, *declared->parameters.back());
    }
    declared->command = std::move(command);
    out.push_back(std::move(declared));
  }
  return out;
}

Arguments arguments_of(const Declared& declared) {
  Arguments out;
  for (const auto& bound : declared.parameters)
    if (bound->option->count() > 0) out.values[bound->parameter.name] = bound->texts;
  return out;
}

bool use_color(const std::string& wish, bool terminal) {
  if (wish == "always") return true;
  if (wish == "never") return false;
  const char* no_color = std::getenv("NO_COLOR");  // no-color.org: set and not empty
  return terminal && (no_color == nullptr || *no_color == '\0');
}

int report_error(const Error& error) {
  say(fmt::format("kctl: {}", error.what()));
  if (!error.remedy().empty()) say(fmt::format("  {}", error.remedy()));
  return static_cast<int>(exit_of(error));
}

// Output that a full disk swallowed is a failure; a reader that has seen enough is not.
int finish(Exit status) {
  errno = 0;
  if (std::fflush(stdout) != 0 && errno != EPIPE) {
    say(fmt::format("kctl: {}", system_error("cannot write standard output", errno).what()));
    return static_cast<int>(Exit::failed);
  }
  return static_cast<int>(status);
}

}  // namespace

int run_command_line(int argc, const char* const* argv) {
  CLI::App root("The operator's tool of Kiln, which tunes the kernels of this node's models", "kctl");
  std::string socket;
  std::string color = "auto";
  bool as_json = false;
  root.add_option("--socket", socket, "Socket of the daemon")->type_name("PATH");
  root.add_flag("--json", as_json, "Print JSON; its members are stable, the text for people is not");
  root.add_option("--color", color, "auto, always or never")
      ->type_name("WHEN")
      ->check(CLI::IsMember({"auto", "always", "never"}));
  root.set_version_flag("--version", "kctl " KILN_VERSION);
  root.require_subcommand(1);
  root.fallthrough();
  root.get_formatter()->column_width(28);
  const auto declared = declare_all(root);
  for (CLI::App* app : root.get_subcommands([](CLI::App*) { return true; })) {
    app->fallthrough();
    for (CLI::App* nested : app->get_subcommands([](CLI::App*) { return true; })) nested->fallthrough();
  }
  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return root.exit(e) == 0 ? finish(Exit::done) : static_cast<int>(Exit::usage);
  }
  Session session;
  session.socket = socket_path(socket, std::getenv("KILN_SOCKET"), std::getenv("XDG_RUNTIME_DIR"));
  session.json = as_json;
  session.color = !as_json && use_color(color, ::isatty(STDOUT_FILENO) == 1);
  const char* term = std::getenv("TERM");
  session.live = ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
  try {
    for (const auto& d : declared)
      if (d->app->parsed()) return finish(d->command.run(session, arguments_of(*d)));
    throw UsageError("cannot tell which command is meant");
  } catch (const Error& e) {
    (void)std::fflush(stdout);  // what was printed comes before the error; its own failure matters no more
    return report_error(e);
  } catch (const std::exception& e) {
    say(fmt::format("kctl: {}", e.what()));
    return static_cast<int>(Exit::failed);
  }
}

}  // namespace kiln::kctl
