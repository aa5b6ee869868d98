// Every task once, nothing before its launch or after it, and no processor time when idle.
#include "runtime/thread_pool.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>

using namespace kiln::runtime;

namespace {

struct Counters {
  std::vector<std::atomic<int>> seen;
  std::atomic<int> bad{0};
  std::int64_t expected = 0;
  explicit Counters(std::int64_t n) : seen(static_cast<std::size_t>(n)), expected(n) {}
};

void count(void* const* args, const kiln_task* task) {
  auto* c = static_cast<Counters*>(args[0]);
  if (task->count != c->expected || task->index < 0 || task->index >= task->count) ++c->bad;
  if (reinterpret_cast<std::uintptr_t>(task->scratch) % 64 != 0) ++c->bad;
  // Two threads in one scratch would see each other's mark.
  auto* mark = static_cast<volatile std::int64_t*>(task->scratch);
  *mark = task->index;
  for (int i = 0; i < 20; ++i)
    if (*mark != task->index) ++c->bad;
  c->seen[static_cast<std::size_t>(task->index)]++;
}

double processor_seconds() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

}  // namespace

TEST_CASE("each task runs exactly once, launch after launch, with fewer and more tasks than threads") {
  for (const int threads : {1, 2, 4, 7}) {
    ThreadPool pool(threads, 100);
    for (const std::int64_t tasks : {0, 1, 2, 3, 5, 64, 1000}) {
      for (int launch = 0; launch < 30; ++launch) {
        Counters c(tasks);
        void* args[] = {&c};
        pool.run({count, args, tasks, nullptr});
        int once = 0;
        for (const auto& s : c.seen) once += s == 1;
        REQUIRE(once == tasks);
        REQUIRE(c.bad == 0);
      }
    }
  }
}

TEST_CASE("work that brings its scratch uses that, each thread a part of its own") {
  constexpr int kThreads = 3;
  ThreadPool pool(kThreads, 0);
  struct alignas(64) Room { std::byte bytes[64]; };
  std::vector<Room> room(kThreads + 2);
  std::memset(room.data(), 0x55, room.size() * sizeof(Room));
  for (int launch = 0; launch < 30; ++launch) {
    Counters c(500);
    void* args[] = {&c};
    pool.run({count, args, 500, nullptr, room[1].bytes, 40});
    REQUIRE(c.bad == 0);
  }
  const auto untouched = [](std::byte b) { return b == std::byte{0x55}; };
  for (const Room* outside : {&room.front(), &room.back()})
    CHECK(std::all_of(std::begin(outside->bytes), std::end(outside->bytes), untouched));
  CHECK_FALSE(std::all_of(std::begin(room[1].bytes), std::end(room[1].bytes), untouched));
}

TEST_CASE("launches go on after the workers fell asleep") {
  ThreadPool pool(3, 0);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    Counters c(10);
    void* args[] = {&c};
    pool.run({count, args, 10, nullptr});
    int once = 0;
    for (const auto& s : c.seen) once += s == 1;
    REQUIRE(once == 10);
  }
}

TEST_CASE("after a wake-up every thread has its own share of the next launch") {
  // Each task waits for the other: a launch of two ends only when two threads run it side by side.
  const auto meet = [](void* const* args, const kiln_task* task) {
    auto& begun = *static_cast<std::atomic<int>*>(args[0]);
    ++begun;
    while (begun < task->count) std::this_thread::yield();
  };
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads, 0);
    for (int i = 0; i < 20; ++i) {
      pool.wake();
      std::atomic<int> begun{0};
      void* args[] = {&begun};
      pool.run({meet, args, threads, nullptr});
      REQUIRE(begun == threads);
      if (i % 5 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
}

TEST_CASE("an idle pool uses no processor") {
  ThreadPool pool(4, 0);
  // Threads that the machine has not let fall asleep yet spoil the first of these times.
  double used = 1;
  for (int i = 0; i < 100 && used >= 0.05; ++i) {
    const double before = processor_seconds();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    used = processor_seconds() - before;
  }
  CHECK(used < 0.05);
}

TEST_CASE("pools come and go") {
  for (int i = 0; i < 100; ++i) {
    ThreadPool pool(4, 64);
    if (i % 2 == 0) continue;
    Counters c(4);
    void* args[] = {&c};
    pool.run({count, args, 4, nullptr});
    CHECK(c.bad == 0);
  }
}
