#include "daemon/worker/energy_source.h"

#include <fcntl.h>

#include <cerrno>

#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

[[noreturn]] void refuse(const std::string& cause) {
  throw Error(ErrorCode::unavailable, "cannot measure energy: this node has no energy counter: " + cause,
              "kctl doctor");
}

}  // namespace

RaplSource::RaplSource(const std::filesystem::path& powercap) {
  targets::cpu::RaplZones found = targets::cpu::open_rapl(powercap);
  cause_ = std::move(found.cause);
  if (!found.zones.empty()) counter_.emplace(std::move(found.zones));
}

std::string RaplSource::describe() const { return counter_ ? targets::cpu::describe(counter_->zones()) : ""; }

void RaplSource::lend(Frame& request) const {
  if (!counter_) refuse(cause_);
  json::array counters;
  for (const targets::cpu::RaplZone& zone : counter_->zones()) {
    UniqueFd file(::fcntl(zone.counter.get(), F_DUPFD_CLOEXEC, 0));
    if (!file) throw system_error("cannot lend the energy counter " + zone.name, errno);
    request.fds.push_back(std::move(file));
    counters.emplace_back(json::object{{"name", zone.name}, {"range_uj", zone.range_uj}});
  }
  request.body["counters"] = std::move(counters);
}

std::uint64_t RaplSource::microjoules() {
  if (!counter_) refuse(cause_);
  return counter_->microjoules();
}

}  // namespace kiln::worker
