#include "daemon/targets/cpu/ceilings.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "daemon/targets/cpu/ceiling_table.h"
#include "runtime/base/cpu_features.h"

namespace kiln::targets::cpu {
namespace {

using Clock = std::chrono::steady_clock;

const CeilingKernels& best_kernels() {
  if (has_cpu_feature("avx512f")) return ceiling_kernels_avx512;
  if (has_cpu_feature("avx2") && has_cpu_feature("fma")) return ceiling_kernels_avx2;
  return ceiling_kernels_generic;
}

struct Free {
  void operator()(unsigned char* p) const { std::free(p); }
};
using Memory = std::unique_ptr<unsigned char, Free>;

Memory touched(std::int64_t bytes) {
  Memory m(static_cast<unsigned char*>(std::aligned_alloc(4096, static_cast<std::size_t>(bytes + 4095) / 4096 * 4096)));
  if (!m) throw std::bad_alloc();
  std::fill_n(m.get(), bytes, static_cast<unsigned char>(1));
  return m;
}

// Holds the calling thread on the n-th of the cores that the process may use: two of these threads on one core would
// measure half of what the node can do, and the scheduler leaves them there for longer than a pass takes.
class OnCore {
 public:
  explicit OnCore(int n) {
    known_ = ::sched_getaffinity(0, sizeof allowed_, &allowed_) == 0;
    if (!known_) return;
    n %= std::max(1, CPU_COUNT(&allowed_));
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(static_cast<std::size_t>(cpu), &allowed_) || n-- > 0) continue;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(static_cast<std::size_t>(cpu), &one);
      (void)::sched_setaffinity(0, sizeof one, &one);  // refused: the scheduler decides, as it would have
      return;
    }
  }
  ~OnCore() {
    if (known_) (void)::sched_setaffinity(0, sizeof allowed_, &allowed_);
  }
  OnCore(const OnCore&) = delete;
  OnCore& operator=(const OnCore&) = delete;

 private:
  cpu_set_t allowed_;
  bool known_ = false;
};

// Runs `pass(thread)` on all threads at once, `passes` times with a common start, and returns the shortest wall time of
// one pass, from the start to the last thread's end, in seconds.
double fastest(int threads, int passes, const std::function<void(int)>& pass) {
  std::atomic<int> arrived{0}, finished{0};
  double best = 1e30;
  const auto wait = [](const std::atomic<int>& counter, int value) {
    while (counter.load(std::memory_order_acquire) < value) std::this_thread::yield();
  };
  const auto body = [&](int thread) {
    const OnCore core(thread);
    for (int p = 0; p < passes; ++p) {
      arrived.fetch_add(1);
      wait(arrived, threads * (p + 1));
      const auto begin = Clock::now();
      pass(thread);
      finished.fetch_add(1);
      wait(finished, threads * (p + 1));
      if (thread == 0) best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(body, t);
  body(0);
  for (std::thread& t : others) t.join();
  return best;
}

// Bytes per second of reading `each` bytes per thread over and over, about 5 ms a pass.
double read_rate(const CeilingKernels& k, std::int64_t each, int threads, int passes) {
  each = each / 4096 * 4096;
  std::vector<Memory> memory;
  for (int t = 0; t < threads; ++t) memory.push_back(touched(each));
  const long repeats = std::max<long>(1, (std::int64_t{1} << 28) / each / 4);
  const double s =
      fastest(threads, passes, [&](int t) { k.read(memory[static_cast<std::size_t>(t)].get(), each, repeats); });
  return static_cast<double>(each) * static_cast<double>(repeats) * threads / s;
}

double copy_rate(const CeilingKernels& k, std::int64_t each, int threads) {
  each = each / 4096 * 4096;
  std::vector<Memory> from, to;
  for (int t = 0; t < threads; ++t) {
    from.push_back(touched(each));
    to.push_back(touched(each));
  }
  const double s = fastest(threads, 4, [&](int t) {
    k.copy(to[static_cast<std::size_t>(t)].get(), from[static_cast<std::size_t>(t)].get(), each);
  });
  return 2.0 * static_cast<double>(each) * threads / s;
}

double flop_rate(void (*loop)(long), double flops_per_iteration, int threads) {
  constexpr long iterations = 1'000'000;
  const double s = fastest(threads, 8, [&](int) { loop(iterations); });
  return flops_per_iteration * iterations * threads / s;
}

}  // namespace

Ceilings measure_ceilings(const CpuDescription& caches, int threads) {
  const CeilingKernels& k = best_kernels();
  Ceilings c;
  // Half a level, so that stacks and tables beside it do not push it out, but well past the level below.
  if (caches.l1d_bytes > 0)
    c.bandwidth["l1_read"] = read_rate(k, std::max<std::int64_t>(8192, caches.l1d_bytes / 2), threads, 20);
  if (caches.l2_bytes > 0)
    c.bandwidth["l2_read"] = read_rate(k, std::max(caches.l2_bytes / 2, caches.l1d_bytes * 2), threads, 16);
  if (caches.l3_bytes > 0)
    c.bandwidth["l3_read"] = read_rate(k, std::max(caches.l3_bytes / 4 / threads, caches.l2_bytes * 2), threads, 6);
  // Past the last level by four, with a bound on what a probe may take from its node.
  const std::int64_t beyond = std::clamp<std::int64_t>(4 * caches.l3_bytes, 128 << 20, 512 << 20);
  c.bandwidth["memory_read"] = read_rate(k, beyond / threads, threads, 4);
  c.bandwidth["memory_copy"] = copy_rate(k, beyond / 2 / threads, threads);
  c.flops["f32"] = flop_rate(k.fma_f32, k.flops_f32, threads);
  c.flops["f64"] = flop_rate(k.fma_f64, k.flops_f64, threads);
  // A float32 product at its own accuracy takes six of bfloat16 parts (store/corpus/templates/matmul/amx).
  if (has_cpu_feature("amx_bf16") && use_tiles())
    c.flops["f32_by_tiles"] = flop_rate(tile_products, kTileProductFlops / 6, threads);
  return c;
}

}  // namespace kiln::targets::cpu
