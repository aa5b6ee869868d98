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

[[noreturn]] void hang(const char* what) {
  std::fprintf(stderr, "simt: the kernel would hang: %s\n", what);
  std::abort();
}

enum class State : std::uint8_t { ready, at_barrier, at_shuffle, done };

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

class Block {
 public:
  Block(Kernel kernel, void* const* arguments, const Grid& grid)
      : kernel_(kernel),
        arguments_(arguments),
        grid_(grid),
        fibres_(grid.threads),
        warps_((grid.threads + kWarp - 1) / kWarp),
        shared_(static_cast<std::byte*>(
                    std::aligned_alloc(128, static_cast<std::size_t>((grid.shared_bytes + 255) / 128 * 128))),
                &std::free) {
    stacks_ = ::mmap(nullptr, kStackBytes * grid.threads, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks_ == MAP_FAILED) hang("no memory for its threads' stacks");
  }
  ~Block() { ::munmap(stacks_, kStackBytes * grid_.threads); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void run(unsigned block, Order order) {
    block_ = block;
    std::memset(shared_.get(), 0xff, static_cast<std::size_t>(grid_.shared_bytes));
    for (unsigned t = 0; t < grid_.threads; ++t) start(t);
    for (unsigned left = grid_.threads; left > 0;) {
      bool moved = false;
      for (unsigned i = 0; i < grid_.threads; ++i) {
        thread_ = order == Order::forward ? i : grid_.threads - 1 - i;
        if (fibres_[thread_].state != State::ready) continue;
        moved = true;
        ::swapcontext(&scheduler_, &fibres_[thread_].context);
        if (fibres_[thread_].state == State::done) --left;
      }
      moved = open_barrier(left) || moved;
      if (!moved) hang("some threads wait at a barrier, others in a shuffle, or lanes of a warp are missing");
    }
  }

  // Called by the fibres.
  void barrier() { wait(State::at_barrier); }
  unsigned shuffle(unsigned value, unsigned mask) {
    Warp& warp = warps_[thread_ / kWarp];
    const unsigned lane = thread_ % kWarp, lanes = std::min(kWarp, grid_.threads - thread_ / kWarp * kWarp);
    const int set = warp.generation % 2;
    if (warp.arrived > 0 && warp.mask != mask) hang("the lanes of a warp shuffle differently");
    warp.mask = mask;
    warp.values[set][lane] = value;
    if (++warp.arrived == static_cast<int>(lanes)) {
      warp.arrived = 0;
      ++warp.generation;
      for (unsigned l = 0; l < lanes; ++l) {
        Fibre& other = fibres_[thread_ / kWarp * kWarp + l];
        if (other.state == State::at_shuffle) other.state = State::ready;
      }
    } else {
      wait(State::at_shuffle);
    }
    return warp.values[set][(lane ^ mask) < lanes ? lane ^ mask : lane];
  }
  [[nodiscard]] unsigned thread() const { return thread_; }
  [[nodiscard]] unsigned block() const { return block_; }
  [[nodiscard]] unsigned blocks() const { return grid_.blocks; }
  [[nodiscard]] void* shared() const { return shared_.get(); }

  static Block* current;

 private:
  static void enter() {
    Block& b = *current;
    b.kernel_(b.arguments_);
    b.fibres_[b.thread_].state = State::done;
    ::setcontext(&b.scheduler_);
  }

  void start(unsigned t) {
    Fibre& f = fibres_[t];
    ::getcontext(&f.context);
    f.context.uc_stack.ss_sp = static_cast<std::byte*>(stacks_) + kStackBytes * t;
    f.context.uc_stack.ss_size = kStackBytes;
    f.context.uc_link = nullptr;
    f.state = State::ready;
    ::makecontext(&f.context, &Block::enter, 0);
  }

  void wait(State state) {
    Fibre& f = fibres_[thread_];
    f.state = state;
    ::swapcontext(&f.context, &scheduler_);
  }

  // A barrier opens when every thread that has not ended is there.
  bool open_barrier(unsigned left) {
    unsigned waiting = 0;
    for (const Fibre& f : fibres_) waiting += f.state == State::at_barrier ? 1 : 0;
    if (waiting == 0 || waiting != left) return false;
    for (Fibre& f : fibres_)
      if (f.state == State::at_barrier) f.state = State::ready;
    return true;
  }

  const Kernel kernel_;
  void* const* const arguments_;
  const Grid grid_;
  std::vector<Fibre> fibres_;
  std::vector<Warp> warps_;
  std::unique_ptr<std::byte, decltype(&std::free)> shared_;
  void* stacks_ = nullptr;
  ucontext_t scheduler_{};
  unsigned thread_ = 0, block_ = 0;
};

Block* Block::current = nullptr;

}  // namespace

void run(Kernel kernel, void* const* arguments, const Grid& grid, Order order) {
  Block block(kernel, arguments, grid);
  Block::current = &block;
  for (unsigned b = 0; b < grid.blocks; ++b) block.run(order == Order::forward ? b : grid.blocks - 1 - b, order);
  Block::current = nullptr;
}

}  // namespace kiln::simt

using kiln::simt::Block;

extern "C" {
unsigned kiln_simt_thread_index() { return Block::current->thread(); }
unsigned kiln_simt_block_index() { return Block::current->block(); }
unsigned kiln_simt_block_count() { return Block::current->blocks(); }
void kiln_simt_barrier() { Block::current->barrier(); }
void* kiln_simt_shared() { return Block::current->shared(); }
unsigned kiln_simt_shuffle_xor(unsigned value, unsigned mask) { return Block::current->shuffle(value, mask); }
}
