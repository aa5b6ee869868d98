#include "tests/simt/block.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "tests/simt/before.h"

namespace kiln::simt {
namespace {

constexpr std::size_t kStackBytes = 128 << 10;
constexpr unsigned kWarp = 32;
// Times that threads look for what others post while nothing else moves: one may find several things in turn.
constexpr int kLooks = 10'000;

[[noreturn]] void hang(const char* what) {
  std::fprintf(stderr, "simt: the kernel would hang: %s\n", what);
  std::abort();
}

enum class State : std::uint8_t { ready, at_barrier, at_cluster_barrier, at_shuffle, looking, done };

struct Fibre {
  ucontext_t context{};
  State state = State::ready;
};

// What the lanes of one warp exchange. Two sets: a lane may enter the next shuffle before its neighbour has read this
// one.
struct Warp {
  unsigned values[2][kWarp];
  unsigned mask = 0;
  int arrived = 0, generation = 0;
};

// The blocks of one cluster. Threads are numbered over all of them.
class Cluster {
 public:
  Cluster(Kernel kernel, void* const* arguments, const Grid& grid)
      : kernel_(kernel),
        arguments_(arguments),
        grid_(grid),
        shared_stride_(static_cast<std::size_t>((grid.shared_bytes + 255) / 128 * 128)),
        fibres_(grid.threads * grid.cluster),
        warps_(warps_of_block() * grid.cluster),
        shared_(static_cast<std::byte*>(std::aligned_alloc(128, shared_stride_ * grid.cluster)), &std::free) {
    if (grid.blocks % grid.cluster != 0) hang("its blocks do not fill its clusters");
    stacks_ = ::mmap(nullptr, kStackBytes * fibres_.size(), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks_ == MAP_FAILED) hang("no memory for its threads' stacks");
  }
  ~Cluster() { ::munmap(stacks_, kStackBytes * fibres_.size()); }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  void run(unsigned first_block, Order order) {
    first_block_ = first_block;
    std::memset(shared_.get(), 0xff, shared_stride_ * grid_.cluster);
    const auto count = static_cast<unsigned>(fibres_.size());
    for (unsigned t = 0; t < count; ++t) start(t);
    int looks = 0;
    for (unsigned left = count; left > 0;) {
      bool moved = false, looked = false;
      for (unsigned i = 0; i < count; ++i) {
        thread_ = order == Order::forward ? i : count - 1 - i;
        State& state = fibres_[thread_].state;
        if (state != State::ready && state != State::looking) continue;
        looked = looked || state == State::looking;
        moved = moved || state == State::ready;  // it may post what others look for, or let go the rest of its warp
        ::swapcontext(&scheduler_, &fibres_[thread_].context);
        moved = moved || state != State::looking;
        if (state == State::done) --left;
      }
      for (unsigned b = 0; b < grid_.cluster; ++b)
        moved = open_barrier(State::at_barrier, b * grid_.threads, (b + 1) * grid_.threads) || moved;
      moved = open_barrier(State::at_cluster_barrier, 0, count) || moved;
      looks = moved ? 0 : looks + 1;
      if (!moved && (!looked || looks > kLooks))
        hang("some threads wait at a barrier, others in a shuffle or for memory, or lanes of a warp are missing");
    }
  }

  // Called by the fibres.
  void barrier() { wait(State::at_barrier); }
  void cluster_barrier() { wait(State::at_cluster_barrier); }
  void look_again() { wait(State::looking); }
  unsigned shuffle(unsigned value, unsigned mask) {
    const unsigned first = rank() * grid_.threads + thread() / kWarp * kWarp;  // thread of the warp
    Warp& warp = warps_[rank() * warps_of_block() + thread() / kWarp];
    const unsigned lane = thread() % kWarp, lanes = std::min(kWarp, grid_.threads - thread() / kWarp * kWarp);
    const int set = warp.generation % 2;
    if (warp.arrived > 0 && warp.mask != mask) hang("the lanes of a warp shuffle differently");
    warp.mask = mask;
    warp.values[set][lane] = value;
    if (++warp.arrived == static_cast<int>(lanes)) {
      warp.arrived = 0;
      ++warp.generation;
      for (unsigned l = 0; l < lanes; ++l) {
        Fibre& other = fibres_[first + l];
        if (other.state == State::at_shuffle) other.state = State::ready;
      }
    } else {
      wait(State::at_shuffle);
    }
    return warp.values[set][(lane ^ mask) < lanes ? lane ^ mask : lane];
  }
  [[nodiscard]] unsigned thread() const { return thread_ % grid_.threads; }
  [[nodiscard]] unsigned rank() const { return thread_ / grid_.threads; }
  [[nodiscard]] unsigned block() const { return first_block_ + rank(); }
  [[nodiscard]] unsigned blocks() const { return grid_.blocks; }
  [[nodiscard]] std::byte* shared() const { return shared_.get() + shared_stride_ * rank(); }
  // The same place of the shared memory of block `of` of the cluster.
  [[nodiscard]] const std::byte* shared(const void* at, unsigned of) const {
    const std::ptrdiff_t offset = static_cast<const std::byte*>(at) - shared();
    if (of >= grid_.cluster || offset < 0 || offset >= grid_.shared_bytes) hang("it reads outside its cluster");
    return shared_.get() + shared_stride_ * of + offset;
  }

  static Cluster* current;

 private:
  static void enter() {
    Cluster& c = *current;
    c.kernel_(c.arguments_);
    c.fibres_[c.thread_].state = State::done;
    ::setcontext(&c.scheduler_);
  }

  [[nodiscard]] unsigned warps_of_block() const { return (grid_.threads + kWarp - 1) / kWarp; }

  void start(unsigned t) {
    Fibre& f = fibres_[t];
    ::getcontext(&f.context);
    f.context.uc_stack.ss_sp = static_cast<std::byte*>(stacks_) + kStackBytes * t;
    f.context.uc_stack.ss_size = kStackBytes;
    f.context.uc_link = nullptr;
    f.state = State::ready;
    ::makecontext(&f.context, &Cluster::enter, 0);
  }

  void wait(State state) {
    Fibre& f = fibres_[thread_];
    f.state = state;
    ::swapcontext(&f.context, &scheduler_);
  }

  // A barrier of the threads from `begin` to `end` opens when each of them that has not ended is there.
  bool open_barrier(State barrier, unsigned begin, unsigned end) {
    unsigned waiting = 0, left = 0;
    for (unsigned t = begin; t < end; ++t) {
      waiting += fibres_[t].state == barrier ? 1 : 0;
      left += fibres_[t].state != State::done ? 1 : 0;
    }
    if (waiting == 0 || waiting != left) return false;
    for (unsigned t = begin; t < end; ++t)
      if (fibres_[t].state == barrier) fibres_[t].state = State::ready;
    return true;
  }

  const Kernel kernel_;
  void* const* const arguments_;
  const Grid grid_;
  const std::size_t shared_stride_;
  std::vector<Fibre> fibres_;
  std::vector<Warp> warps_;
  std::unique_ptr<std::byte, decltype(&std::free)> shared_;
  void* stacks_ = nullptr;
  ucontext_t scheduler_{};
  unsigned thread_ = 0, first_block_ = 0;
};

Cluster* Cluster::current = nullptr;

}  // namespace

void run(Kernel kernel, void* const* arguments, const Grid& asked, Order order) {
  Grid grid = asked;
  if (grid.cooperative) grid.cluster = grid.blocks;
  Cluster cluster(kernel, arguments, grid);
  Cluster::current = &cluster;
  const unsigned clusters = grid.blocks / grid.cluster;
  for (unsigned c = 0; c < clusters; ++c)
    cluster.run((order == Order::forward ? c : clusters - 1 - c) * grid.cluster, order);
  Cluster::current = nullptr;
}

}  // namespace kiln::simt

using kiln::simt::Cluster;

extern "C" {
unsigned kiln_simt_thread_index() { return Cluster::current->thread(); }
unsigned kiln_simt_block_index() { return Cluster::current->block(); }
unsigned kiln_simt_block_count() { return Cluster::current->blocks(); }
unsigned kiln_simt_cluster_rank() { return Cluster::current->rank(); }
void kiln_simt_barrier() { Cluster::current->barrier(); }
void kiln_simt_cluster_barrier() { Cluster::current->cluster_barrier(); }
void kiln_simt_look_again() { Cluster::current->look_again(); }
void* kiln_simt_shared() { return Cluster::current->shared(); }
const void* kiln_simt_in_block(const void* at, unsigned rank) { return Cluster::current->shared(at, rank); }
unsigned kiln_simt_shuffle_xor(unsigned value, unsigned mask) { return Cluster::current->shuffle(value, mask); }
}
