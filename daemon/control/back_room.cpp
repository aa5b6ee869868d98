// How a coroutine on the I/O thread waits for something that happens on another thread.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>

#include "daemon/control/connection.h"
#include "daemon/control/errors.h"

namespace kiln::control {
namespace {

// The timer never expires: it is the thing to wait on. Touched on the I/O thread only.
struct Pending {
  explicit Pending(const asio::any_io_executor& executor) : bell(executor, asio::steady_timer::time_point::max()) {}
  asio::steady_timer bell;
  std::optional<Answer> answer;
};

}  // namespace

asio::awaitable<Answer> answer_of(std::function<void(const Reply&)> begin) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto pending = std::make_shared<Pending>(executor);
  begin([pending, executor](Answer answer) {
    asio::post(executor, [pending, answer = std::move(answer)]() mutable {
      pending->answer = std::move(answer);
      pending->bell.cancel();
    });
  });
  while (!pending->answer) {
    // The result is ignored: it is always "cancelled", by the bell.
    (void)co_await pending->bell.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  co_return std::move(*pending->answer);
}

asio::awaitable<Answer> in_back_room(CorePtr core, std::function<Answer()> work) {
  std::function<void(const Reply&)> begin = [core, work = std::move(work)](const Reply& reply) {
    asio::post(core->back_room, [work, reply] {
      Answer answer;
      try {
        answer = work();
      } catch (...) {
        answer = error_answer(std::current_exception());
      }
      reply(std::move(answer));
    });
  };
  Answer answer = co_await answer_of(std::move(begin));
  co_return answer;
}

}  // namespace kiln::control
