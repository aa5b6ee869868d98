// The life of a running daemon: signals, reload, signs of life, the log of events. All on the I/O thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>

#include "daemon/control/server.h"
#include "daemon/kilnd/config.h"
#include "daemon/kilnd/log.h"

namespace kiln::kilnd {

class Life {
 public:
  struct Parts {
    Log& log;
    store::Store& store;
    control::Server& server;
    const control::JobControl& jobs;
    std::function<Settings()> load;       // reads the whole configuration again
    std::function<void()> before_stop;    // while the socket is still ours
  };
  Life(boost::asio::io_context& io, Parts parts, Settings settings);

  void start();  // READY, watchdog, signals
  // Logs what an operator wants to see of it and refreshes STATUS, at most once a second.
  void on_event(const store::Event& event);
  void reload();

 private:
  void wait_for_signal();
  void feed_watchdog();
  void show_status();
  void stop();
  void wait_for_clients();

  boost::asio::io_context& io_;
  Parts parts_;
  Settings settings_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer watchdog_, status_, grace_;
  bool status_due_ = false;
  bool stopping_ = false;
};

}  // namespace kiln::kilnd
