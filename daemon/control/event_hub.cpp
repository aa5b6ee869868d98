#include "daemon/control/event_hub.h"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace kiln::control {
namespace {

// The greatest serial, by galloping and halving: some dozens of indexed reads, however long the history is.
std::int64_t newest_serial(const store::Store& store) {
  const auto any_after = [&](std::int64_t serial) { return !store.events_after(serial, 1).empty(); };
  if (!any_after(0)) return 0;
  std::int64_t low = 0;  // there are events after `low`, none after `high`
  std::int64_t high = 1;
  while (any_after(high)) {
    low = high;
    high *= 2;
  }
  while (low + 1 < high) {
    const std::int64_t middle = low + (high - low) / 2;
    (any_after(middle) ? low : high) = middle;
  }
  return high;
}

}  // namespace

void EventHub::start() {
  before_newest_ = newest_serial(context_.services.store);
  context_.last_event = before_newest_;
  announced_ = before_newest_;
  context_.services.store.on_event([weak = weak_from_this()](std::int64_t serial) {
    if (const auto hub = weak.lock()) hub->announce(serial);
  });
}

void EventHub::announce(std::int64_t serial) {
  boost::asio::post(io_, [weak = weak_from_this(), serial] {
    const auto hub = weak.lock();
    if (!hub || serial <= hub->announced_) return;
    hub->announced_ = serial;
    hub->fetch();
  });
}

void EventHub::fetch() {
  for (;;) {
    const std::int64_t last = context_.last_event;
    const std::vector<store::Event> batch = context_.services.store.events_after(last, 256);
    if (batch.empty()) break;
    newest_.insert(newest_.end(), batch.begin(), batch.end());
    if (on_event) std::for_each(batch.begin(), batch.end(), on_event);
    context_.last_event = batch.back().serial;
    while (newest_.size() > kKept) {
      before_newest_ = newest_.front().serial;
      newest_.pop_front();
    }
    if (batch.size() < 256) break;
  }
  wake();
}

std::vector<store::Event> EventHub::after(std::int64_t serial, std::int32_t limit) {
  if (serial < before_newest_) return context_.services.store.events_after(serial, limit);
  auto from = std::upper_bound(newest_.begin(), newest_.end(), serial,
                               [](std::int64_t s, const store::Event& e) { return s < e.serial; });
  const auto count = std::min<std::ptrdiff_t>(limit, newest_.end() - from);
  return {from, from + count};
}

void EventHub::wake() {
  for (boost::asio::steady_timer* waiter : waiters_) waiter->cancel();
}

}  // namespace kiln::control
