// Wakes those who wait for events. The events themselves are rows of the store: the hub keeps only the newest, so that
// many readers of a running job cost one query and not one each.
//
// Thread rule: everything but `announce` on the I/O thread. `announce` may be called on any thread and does not block.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "daemon/control/context.h"

namespace kiln::control {

class EventHub : public std::enable_shared_from_this<EventHub> {
 public:
  EventHub(boost::asio::io_context& io, Context& context) : io_(io), context_(context) {}

  // Finds the newest serial and listens. The store keeps the listener for ever, so it holds the hub weakly.
  void start();
  void announce(std::int64_t serial);

  // Up to `limit` events after `serial`, in order; from memory when they are new enough.
  [[nodiscard]] std::vector<store::Event> after(std::int64_t serial, std::int32_t limit);

  // Cancels every waiting timer: its owner looks again.
  void wake();
  void enter(boost::asio::steady_timer& waiter) { waiters_.insert(&waiter); }
  void leave(boost::asio::steady_timer& waiter) { waiters_.erase(&waiter); }

  std::function<void(const store::Event&)> on_event;  // each new event, in order

 private:
  void fetch();
  static constexpr std::size_t kKept = 1024;

  boost::asio::io_context& io_;
  Context& context_;
  std::deque<store::Event> newest_;  // gapless in the order of the store's answers
  std::int64_t before_newest_ = 0;   // serial after which newest_ is complete
  std::int64_t announced_ = 0;
  std::set<boost::asio::steady_timer*> waiters_;
};

}  // namespace kiln::control
