// Health asks one question: could a job that starts now be recorded and released? It touches no hardware.
#include <fmt/format.h>
#include <sys/statvfs.h>

#include <cerrno>

#include "daemon/control/resources/resources.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::control {
namespace {

// A job writes some megabytes of facts; a build's scratch and a release's constants come on top.
constexpr std::int64_t kComfortable = std::int64_t{2} << 30;
constexpr std::int64_t kLeast = std::int64_t{256} << 20;

json::object check(std::string_view what, std::string_view result, const std::string& detail, std::string_view cure) {
  return {{"check", what}, {"result", result}, {"detail", detail}, {"cure", cure}};
}

json::object check_space(const store::Store& store) {
  struct statvfs space {};
  if (::statvfs(store.directory().c_str(), &space) != 0)
    return check("disk", "FAIL", system_error("cannot read the free space of the state directory", errno).what(),
                 "make the state directory readable for the daemon");
  const auto free_bytes = static_cast<std::int64_t>(space.f_bavail) * static_cast<std::int64_t>(space.f_frsize);
  const std::string_view result = free_bytes < kLeast ? "FAIL" : free_bytes < kComfortable ? "CAUTION" : "PASS";
  return check("disk", result, fmt::format("{} MiB free in {}", free_bytes >> 20, store.directory().string()),
               result == "PASS" ? "" : "free space on that file system");
}

json::object check_store(const store::Store& store) {
  try {
    const store::LedgerHead head = store.ledger_head();
    if (store.read_only())
      return check("store", "FAIL", "the store is read-only", "free space in the state directory and restart kilnd");
    return check("store", "PASS", fmt::format("{} ledger entries", head.size), "");
  } catch (const Error& error) {
    return check("store", "FAIL", error.what(), error.remedy());
  }
}

}  // namespace

Answer get_health(Context& context, const Request&) {
  const std::size_t templates = context.services.corpus.now()->templates.size();
  json::array checks{
      check_store(context.services.store),
      check_space(context.services.store),
      check("corpus", templates > 0 ? "PASS" : "FAIL", fmt::format("{} templates", templates),
            templates > 0 ? "" : "install the corpus that belongs to this version of Kiln"),
      check("key", "PASS", context.services.key.fingerprint(), ""),
  };
  bool healthy = true;
  for (const json::value& c : checks) healthy = healthy && c.at("result").as_string() != "FAIL";
  return json_answer(json::object{{"healthy", healthy}, {"checks", std::move(checks)}});
}

}  // namespace kiln::control
