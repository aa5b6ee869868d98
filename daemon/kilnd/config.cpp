#include "daemon/kilnd/config.h"

#include <grp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <toml++/toml.h>

#include "runtime/base/error.h"

namespace kiln::kilnd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One TOML file and where its keys are; knows which keys were asked for, so that the others can be refused.
class Keys {
 public:
  Keys(std::string_view text, std::string_view file_name) : file_(file_name) {
    try {
      table_ = toml::parse(text, file_);
    } catch (const toml::parse_error& error) {
      refuse(&error.source(), std::string(error.description()));
    }
  }

  const toml::node* find(const std::string& key) {
    known_.push_back(key);
    return table_.at_path(key).node();
  }

  [[noreturn]] void refuse(const toml::source_region* place, const std::string& cause) const {
    std::string where;
    if (place != nullptr)
      where = "line " + std::to_string(place->begin.line) + ", column " + std::to_string(place->begin.column) + ": ";
    throw Error(ErrorCode::invalid_input, "cannot load configuration '" + file_ + "': " + where + cause,
                "kilnd --check-config --config " + file_);
  }

  [[noreturn]] void refuse(const std::string& key, const toml::node& node, const std::string& cause) const {
    refuse(&node.source(), "'" + key + "': " + cause);
  }

  void path(const std::string& key, std::filesystem::path& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (!node->is_string()) refuse(key, *node, "a string is needed");
    out = node->as_string()->get();
    if (!out.is_absolute()) refuse(key, *node, "'" + out.string() + "' is no absolute path");
  }

  void text(const std::string& key, std::string& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (!node->is_string()) refuse(key, *node, "a string is needed");
    out = node->as_string()->get();
  }

  void texts(const std::string& key, std::vector<std::string>& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr) refuse(key, *node, "an array of strings is needed");
    out.clear();
    for (const toml::node& item : *array) {
      if (!item.is_string() || item.as_string()->get().empty()) refuse(key, item, "an array of strings is needed");
      out.push_back(item.as_string()->get());
    }
  }

  template <class Integer>
  void integer(const std::string& key, Integer& out, std::int64_t low, std::int64_t high) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (!node->is_integer()) refuse(key, *node, "an integer is needed");
    const std::int64_t number = node->as_integer()->get();
    if (number < low || number > high)
      refuse(key, *node, std::to_string(number) + " is outside " + std::to_string(low) + " to " + std::to_string(high));
    out = static_cast<Integer>(number);
  }

  void duration(const std::string& key, milliseconds& out, std::int64_t low, std::int64_t high) {
    std::int64_t number = std::chrono::duration_cast<seconds>(out).count();
    integer(key, number, low, high);
    out = seconds(number);
  }

  void refuse_unknown() const {
    for (const auto& [section, node] : table_) {
      const std::string name(section.str());
      const toml::table* members = node.as_table();
      if (members == nullptr) refuse(&node.source(), "'" + name + "' is outside of any section");
      const auto in_section = [&](const std::string& key) { return key.rfind(name + ".", 0) == 0; };
      if (std::none_of(known_.begin(), known_.end(), in_section))
        refuse(&node.source(), "unknown section '" + name + "'");
      for (const auto& [key, member] : *members) {
        const std::string path = name + "." + std::string(key.str());
        if (std::find(known_.begin(), known_.end(), path) == known_.end())
          refuse(&member.source(), "unknown key '" + path + "'");
      }
    }
  }

 private:
  std::string file_;
  toml::table table_;
  std::vector<std::string> known_;
};

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

std::string shown(milliseconds time) {
  return std::to_string(std::chrono::duration_cast<seconds>(time).count()) + " s";
}

}  // namespace

Settings parse_config(std::string_view toml, std::string_view file_name, const Settings& defaults) {
  Settings s = defaults;
  Keys keys(toml, file_name);
  keys.path("paths.state", s.state);
  keys.path("paths.socket", s.socket);
  keys.path("paths.corpus", s.corpus);
  keys.path("paths.worker", s.worker);
  keys.path("paths.include", s.include);
  keys.path("paths.policy", s.policy);
  keys.text("paths.gpu_libraries", s.gpu_libraries);
  keys.integer("gpu.device", s.gpu, 0, 255);
  keys.texts("access.viewer_groups", s.viewer_groups);
  keys.texts("access.operator_groups", s.operator_groups);
  keys.texts("access.admin_groups", s.admin_groups);
  keys.text("access.socket_group", s.socket_group);
  keys.integer("limits.clients", s.limits.clients, 1, 4096);
  keys.integer("limits.clients_per_uid", s.limits.clients_per_uid, 1, 4096);
  keys.integer("limits.blob_bytes", s.limits.blob_bytes, 1 << 20, std::int64_t{1} << 44);
  keys.integer("limits.object_cache_bytes", s.object_cache_bytes, 0, std::int64_t{1} << 44);
  keys.duration("limits.request_seconds", s.limits.request, 1, 600);
  keys.duration("limits.idle_seconds", s.limits.idle, 1, 86400);
  std::string level(name(s.level));
  keys.text("log.level", level);
  if (const std::optional<Level> known = level_of(level)) {
    s.level = *known;
  } else {
    keys.refuse("log.level", *keys.find("log.level"), "'" + level + "' is none of error, warning, info, debug");
  }
  keys.refuse_unknown();
  return s;
}

gid_t resolve_group(const std::string& group, std::string_view key) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(group.data(), group.data() + group.size(), number);
  if (error == std::errc() && end == group.data() + group.size()) return number;
  std::vector<char> buffer(1 << 16);
  struct group entry {};
  struct group* found = nullptr;
  (void)::getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(),
                     &found);  // ignoring why: not found is all that matters
  if (found == nullptr)
    throw Error(ErrorCode::invalid_input,
                "cannot use group '" + group + "' of '" + std::string(key) + "': there is no such group",
                "groupadd --system " + group);
  return entry.gr_gid;
}

control::AccessRules resolve_access(const Settings& settings) {
  const auto resolved = [](const std::vector<std::string>& groups, std::string_view key) {
    std::vector<gid_t> out;
    for (const std::string& group : groups) out.push_back(resolve_group(group, key));
    return out;
  };
  control::AccessRules rules;
  rules.own_uid = ::geteuid();
  rules.viewer_groups = resolved(settings.viewer_groups, "access.viewer_groups");
  rules.operator_groups = resolved(settings.operator_groups, "access.operator_groups");
  rules.admin_groups = resolved(settings.admin_groups, "access.admin_groups");
  return rules;
}

std::vector<Change> changes(const Settings& from, const Settings& to) {
  std::vector<Change> out;
  const auto compare = [&](const char* key, const std::string& old_value, const std::string& new_value,
                           bool at_restart) {
    if (old_value != new_value) out.push_back({key, old_value, new_value, at_restart});
  };
  compare("paths.state", from.state.string(), to.state.string(), true);
  compare("paths.socket", from.socket.string(), to.socket.string(), true);
  compare("paths.corpus", from.corpus.string(), to.corpus.string(), true);
  compare("paths.worker", from.worker.string(), to.worker.string(), true);
  compare("paths.include", from.include.string(), to.include.string(), true);
  compare("paths.gpu_libraries", from.gpu_libraries, to.gpu_libraries, true);
  compare("gpu.device", std::to_string(from.gpu), std::to_string(to.gpu), true);
  compare("paths.policy", from.policy.string(), to.policy.string(), true);
  compare("access.viewer_groups", joined(from.viewer_groups), joined(to.viewer_groups), false);
  compare("access.operator_groups", joined(from.operator_groups), joined(to.operator_groups), false);
  compare("access.admin_groups", joined(from.admin_groups), joined(to.admin_groups), false);
  compare("access.socket_group", from.socket_group, to.socket_group, true);
  compare("limits.clients", std::to_string(from.limits.clients), std::to_string(to.limits.clients), false);
  compare("limits.clients_per_uid", std::to_string(from.limits.clients_per_uid),
          std::to_string(to.limits.clients_per_uid), false);
  compare("limits.blob_bytes", std::to_string(from.limits.blob_bytes), std::to_string(to.limits.blob_bytes), false);
  compare("limits.object_cache_bytes", std::to_string(from.object_cache_bytes), std::to_string(to.object_cache_bytes),
          true);
  compare("limits.request_seconds", shown(from.limits.request), shown(to.limits.request), false);
  compare("limits.idle_seconds", shown(from.limits.idle), shown(to.limits.idle), false);
  compare("log.level", std::string(name(from.level)), std::string(name(to.level)), false);
  return out;
}

}  // namespace kiln::kilnd
