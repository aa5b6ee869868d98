#include "daemon/kilnd/life.h"

#include <csignal>

#include "daemon/kilnd/notify.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::kilnd {
namespace {

// For requests in progress to end; what takes longer is cut, and its job or import goes on from the record.
constexpr std::chrono::seconds kGrace{10};
constexpr std::chrono::seconds kStatusPeriod{1};

std::string text_of(const json::object& detail, std::string_view key) {
  const json::value* member = detail.if_contains(key);
  return member != nullptr && member->is_string() ? std::string(member->get_string()) : std::string();
}

json::array to_json(const std::vector<Change>& list) {
  json::array out;
  for (const Change& c : list)
    out.emplace_back(json::object{{"key", c.key}, {"from", c.from}, {"to", c.to}, {"at_restart", c.at_restart}});
  return out;
}

}  // namespace

Life::Life(boost::asio::io_context& io, Parts parts, Settings settings)
    : io_(io),
      parts_(std::move(parts)),
      settings_(std::move(settings)),
      signals_(io, SIGTERM, SIGINT, SIGHUP),
      watchdog_(io),
      status_(io),
      grace_(io) {}

void Life::start() {
  wait_for_signal();
  feed_watchdog();
  notify_ready(parts_.jobs.status_line());
}

void Life::wait_for_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int number) {
    if (error) return;
    if (number == SIGHUP) {
      reload();
    } else if (!stopping_) {
      stop();
    }
    wait_for_signal();
  });
}

void Life::feed_watchdog() {
  const auto period = watchdog_period();
  if (!period) return;
  notify_watchdog();
  watchdog_.expires_after(*period);
  watchdog_.async_wait([this](const boost::system::error_code& error) {
    if (!error) feed_watchdog();
  });
}

void Life::on_event(const store::Event& event) {
  if (event.kind == "job.state") {
    const std::string state = text_of(event.detail, "state");
    const std::string line = "job " + event.subject + " is " + state;
    if (state == "failed") {
      parts_.log.warning(line + ": " + text_of(event.detail, "error"),
                         {{"JOB_ID", event.subject}, {"MESSAGE_ID", std::string(kMessageJobFailed)}});
    } else {
      parts_.log.info(line, {{"JOB_ID", event.subject}});
    }
  } else if (event.kind.rfind("release.", 0) == 0) {
    parts_.log.info(event.kind + " " + event.subject, {{"RELEASE_ID", event.subject}});
  }
  if (status_due_ || stopping_) return;
  status_due_ = true;
  status_.expires_after(kStatusPeriod);
  status_.async_wait([this](const boost::system::error_code& error) {
    if (!error) show_status();
  });
}

void Life::show_status() {
  status_due_ = false;
  try {
    notify_status(parts_.jobs.status_line());
  } catch (const std::exception& error) {
    parts_.log.warning(std::string("cannot tell the status: ") + error.what());
  }
}

void Life::reload() {
  notify_reloading();
  try {
    Settings fresh = parts_.load();
    const control::AccessRules access = resolve_access(fresh);
    const std::vector<Change> list = changes(settings_, fresh);
    parts_.server.reconfigure(access, fresh.limits);
    parts_.log.set_level(fresh.level);
    for (const Change& c : list)
      parts_.log.info("configuration: " + c.key + " was '" + c.from + "', is '" + c.to + "'" +
                      (c.at_restart ? " from the next start on" : ""));
    parts_.log.info(list.empty() ? "configuration loaded again: nothing has changed" : "configuration loaded again");
    // What waits for a restart stays as it runs, so that the next reload reports it again.
    Settings running = fresh;
    for (auto member : {&Settings::state, &Settings::socket, &Settings::corpus, &Settings::worker, &Settings::include,
                        &Settings::policy})
      running.*member = settings_.*member;
    running.socket_group = settings_.socket_group;
    running.object_cache_bytes = settings_.object_cache_bytes;
    settings_ = std::move(running);
    parts_.store.add_event("daemon.reload", "kilnd", json::object{{"changes", to_json(list)}});
  } catch (const Error& error) {
    parts_.log.error(std::string("kept the configuration as it was: ") + error.what(),
                     {{"MESSAGE_ID", std::string(kMessageReloadRefused)}});
  }
  notify_ready(parts_.jobs.status_line());
}

void Life::stop() {
  stopping_ = true;
  notify_stopping();
  parts_.log.info("stopping");
  parts_.before_stop();
  parts_.server.stop();
  watchdog_.cancel();
  status_.cancel();
  grace_.expires_after(kGrace);
  grace_.async_wait([this](const boost::system::error_code& error) {
    if (!error) io_.stop();
  });
  wait_for_clients();
}

void Life::wait_for_clients() {
  if (parts_.server.clients() == 0) return io_.stop();
  status_.expires_after(std::chrono::milliseconds(20));
  status_.async_wait([this](const boost::system::error_code&) { wait_for_clients(); });
}

}  // namespace kiln::kilnd
