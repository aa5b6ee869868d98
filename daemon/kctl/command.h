// A command is a declaration: name, role, parameters and what it does. registry.cpp lists them all; cli.cpp parses the
// command line against the list; the man page, the completion and the tests are held to it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/kctl/session.h"

namespace kiln::kctl {

struct Parameter {
  enum class Kind { positional, option, flag };
  Kind kind = Kind::positional;
  std::string name;  // "workload", "budget": without dashes
  std::string help;
  bool required = false;
  bool repeated = false;
  std::string value = "TEXT";  // what stands for an option's value in the help
};

// What the command line said, by parameter name. Absent parameters have no entry.
class Arguments {
 public:
  std::map<std::string, std::vector<std::string>, std::less<>> values;

  [[nodiscard]] const std::string& text(std::string_view name) const {
    return values.find(name)->second.front();
  }  // required ones
  [[nodiscard]] std::optional<std::string> find(std::string_view name) const {
    const auto it = values.find(name);
    return it == values.end() ? std::nullopt : std::optional(it->second.front());
  }
  [[nodiscard]] std::vector<std::string> list(std::string_view name) const {
    const auto it = values.find(name);
    return it == values.end() ? std::vector<std::string>{} : it->second;
  }
  [[nodiscard]] bool flag(std::string_view name) const { return values.find(name) != values.end(); }
};

struct Command {
  std::string name;     // "status"; "report verify" is a command of the group "report"
  std::string summary;  // one line, no full stop
  std::string role;     // least role at the daemon; empty: needs no daemon
  std::vector<Parameter> parameters;
  Exit (*run)(Session&, const Arguments&) = nullptr;
};

[[nodiscard]] Parameter positional(std::string name, std::string help, bool required = true);
[[nodiscard]] Parameter option(std::string name, std::string value, std::string help);
[[nodiscard]] Parameter repeated_option(std::string name, std::string value, std::string help);
[[nodiscard]] Parameter flag(std::string name, std::string help);

// Every command, in the order of the help text. Built once per call.
[[nodiscard]] std::vector<Command> commands();

// What a group of commands ("report") is for.
[[nodiscard]] std::string group_summary(std::string_view group);

// Parses, runs, prints errors; the status for the shell.
[[nodiscard]] int run_command_line(int argc, const char* const* argv);

}  // namespace kiln::kctl
