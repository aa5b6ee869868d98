#include "daemon/targets/cuda/ceilings.h"

#include <algorithm>
#include <array>

#include "daemon/targets/cpu/instrument.h"

namespace kiln::targets::cuda {
namespace {

using kiln::cuda::check;

constexpr unsigned kThreads = 256;
constexpr int kPasses = 7;
constexpr std::size_t kVectorBytes = 16;

// Without the device headers: each kernel is a page. `count` is in vectors of 16 bytes, a multiple of the grid's
// threads. read: every vector once; the sum is stored where it cannot be, so that no load is dropped. fma: eight
// independent chains.
constexpr const char* kSource = R"(
struct alignas(16) Vector { float at[4]; };

extern "C" __global__ void kiln_copy(const Vector* from, Vector* to, long long count) {
  for (long long i = blockIdx.x * 1024ll + threadIdx.x; i < count; i += gridDim.x * 1024ll) {
    Vector v[4];
#pragma unroll
    for (int u = 0; u < 4; ++u) if (i + u * 256 < count) v[u] = from[i + u * 256];
#pragma unroll
    for (int u = 0; u < 4; ++u) if (i + u * 256 < count) to[i + u * 256] = v[u];
  }
}

extern "C" __global__ void kiln_read(const Vector* from, Vector* to, long long count) {
  float sum = 0;
  for (long long i = blockIdx.x * 1024ll + threadIdx.x; i < count; i += gridDim.x * 1024ll) {
    Vector v[4];
#pragma unroll
    for (int u = 0; u < 4; ++u) v[u] = from[i + u * 256 < count ? i + u * 256 : i];
#pragma unroll
    for (int u = 0; u < 4; ++u) sum += v[u].at[0] + v[u].at[1] + v[u].at[2] + v[u].at[3];
  }
  if (sum == 1.2345678f) to[0].at[0] = sum;
}

// The same, kRounds times, past the first-level cache: between launches the second-level cache would stand still.
constexpr int kRounds = 32;
extern "C" __global__ void kiln_read_again(const Vector* from, Vector* to, long long count) {
  float sum = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (long long i = blockIdx.x * 1024ll + threadIdx.x; i < count; i += gridDim.x * 1024ll) {
      Vector v[4];
#pragma unroll
      for (int u = 0; u < 4; ++u)
        asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
                     : "=f"(v[u].at[0]), "=f"(v[u].at[1]), "=f"(v[u].at[2]), "=f"(v[u].at[3])
                     : "l"(from + (i + u * 256 < count ? i + u * 256 : i)));
#pragma unroll
      for (int u = 0; u < 4; ++u) sum += v[u].at[0] + v[u].at[1] + v[u].at[2] + v[u].at[3];
    }
  }
  if (sum == 1.2345678f) to[0].at[0] = sum;
}

template <class T>
__device__ void chains(T* to, long long rounds) {
  T a[8];
#pragma unroll
  for (int k = 0; k < 8; ++k) a[k] = static_cast<T>(threadIdx.x + k);
  const T factor = static_cast<T>(0.5), term = static_cast<T>(rounds);
  for (long long i = 0; i < rounds; ++i) {
#pragma unroll
    for (int k = 0; k < 8; ++k) a[k] = a[k] * factor + term;
  }
  T sum = 0;
#pragma unroll
  for (int k = 0; k < 8; ++k) sum += a[k];
  if (sum == static_cast<T>(1.2345678)) to[0] = sum;
}
extern "C" __global__ void kiln_fma_f32(const Vector*, Vector* to, long long rounds) {
  chains(reinterpret_cast<float*>(to), rounds);
}
extern "C" __global__ void kiln_fma_f64(const Vector*, Vector* to, long long rounds) {
  chains(reinterpret_cast<double*>(to), rounds);
}
extern "C" __global__ void kiln_nothing(const Vector*, Vector*, long long) {}
)";
constexpr double kFlopsPerRound = 2.0 * 8;
constexpr double kRounds = 32;  // of kiln_read_again

// The measuring kernels, loaded.
class Kernels {
 public:
  Kernels(Gpu& gpu, const std::string& cubin) : gpu_(gpu) {
    check(gpu.api(), gpu.api().cuModuleLoadData(&module_, cubin.data()), "load the measuring kernels");
  }
  ~Kernels() { (void)gpu_.api().cuModuleUnload(module_); }  // ignoring: it ends with the context at the latest
  Kernels(const Kernels&) = delete;
  Kernels& operator=(const Kernels&) = delete;

  void launch(const char* name, unsigned blocks, kiln::cuda::DevicePointer from, kiln::cuda::DevicePointer to,
              long long count) {
    kiln::cuda::Function function = nullptr;
    check(gpu_.api(), gpu_.api().cuModuleGetFunction(&function, module_, name), "find a measuring kernel");
    const kiln::cuda::LaunchConfig config = {blocks, 1, 1, kThreads, 1, 1, 0, gpu_.stream(), nullptr, 0};
    void* parameters[] = {&from, &to, &count};
    check(gpu_.api(), gpu_.api().cuLaunchKernelEx(&config, function, parameters, nullptr),
          "launch a measuring kernel");
  }

 private:
  Gpu& gpu_;
  kiln::cuda::Module module_ = nullptr;
};

template <class Work>
double best_ns(Gpu& gpu, int launches, Work work) {
  work();  // warm: clocks, caches, lazy loading
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const double ns = gpu.time_ns(launches, work);
    if (best == 0 || ns < best) best = ns;
  }
  return best;
}

}  // namespace

std::string ceiling_kernels_source() { return kSource; }

GpuCeilings measure_ceilings(Gpu& gpu, const std::string& cubin) {
  Kernels kernels(gpu, cubin);
  const GpuDescription& d = gpu.description();
  GpuCeilings out;
  // Far past the second-level cache, and a small part of the memory.
  const std::size_t large =
      std::min<std::size_t>(std::max<std::size_t>(std::size_t{256} << 20, 16 * static_cast<std::size_t>(d.l2_bytes)),
                            static_cast<std::size_t>(d.memory_bytes) / 16) /
      4096 * 4096;
  const DeviceMemory from = gpu.allocate(large), to = gpu.allocate(large);
  const auto grid =
      static_cast<unsigned>(d.multiprocessors * (d.threads_per_multiprocessor / static_cast<int>(kThreads)));
  const auto vectors = static_cast<long long>(large / kVectorBytes);
  const auto one_each = static_cast<unsigned>((vectors + 1023) / 1024);
  const auto rate = [](double amount, double ns) { return ns > 0 ? amount / ns * 1e9 : 0; };

  // Data that looks like data: zeros draw less power and run faster.
  check(gpu.api(), gpu.api().cuMemsetD8Async(from.address(), 0x3c, large, gpu.stream()), "fill memory");
  double copy = 0;
  for (const unsigned blocks : {grid, one_each})
    copy = std::max(copy, rate(2.0 * static_cast<double>(large), best_ns(gpu, 1, [&] {
                                 kernels.launch("kiln_copy", blocks, from.address(), to.address(), vectors);
                               })));
  copy = std::max(
      copy, rate(2.0 * static_cast<double>(large), best_ns(gpu, 1, [&] {
                   check(gpu.api(), gpu.api().cuMemcpyDtoDAsync_v2(to.address(), from.address(), large, gpu.stream()),
                         "copy memory");
                 })));
  out.bandwidth["memory_copy"] = copy;
  double read = 0;
  for (const unsigned blocks : {grid, one_each})
    read = std::max(read, rate(static_cast<double>(large), best_ns(gpu, 1, [&] {
                                 kernels.launch("kiln_read", blocks, from.address(), to.address(), vectors);
                               })));
  out.bandwidth["memory_read"] = read;
  out.bandwidth["memory_write"] =
      rate(static_cast<double>(large), best_ns(gpu, 1, [&] {
             check(gpu.api(), gpu.api().cuMemsetD8Async(to.address(), 0x3c, large, gpu.stream()), "write memory");
           }));
  // A quarter of the second-level cache, read again and again.
  const std::size_t small = static_cast<std::size_t>(d.l2_bytes) / 4 / 4096 * 4096;
  if (small > 0) {
    const auto few = static_cast<long long>(small / kVectorBytes);
    const double ns =
        best_ns(gpu, 1, [&] { kernels.launch("kiln_read_again", grid, from.address(), to.address(), few); });
    out.bandwidth["l2_read"] = rate(kRounds * static_cast<double>(small), ns);
  }
  for (const auto& [name, kernel, rounds] :
       {std::tuple{"f32", "kiln_fma_f32", 8192ll}, std::tuple{"f64", "kiln_fma_f64", 2048ll}})
    out.flops[name] = rate(
        kFlopsPerRound * static_cast<double>(rounds) * kThreads * grid,
        best_ns(gpu, 1, [&, k = kernel, r = rounds] { kernels.launch(k, grid, from.address(), to.address(), r); }));
  constexpr int kLaunches = 64;
  out.launch_ns = best_ns(gpu, kLaunches,
                          [&] {
                            for (int i = 0; i < kLaunches; ++i)
                              kernels.launch("kiln_nothing", 1, from.address(), to.address(), 0);
                          }) /
                  kLaunches;
  return out;
}

double false_difference_rate(Gpu& gpu, const std::string& cubin) {
  constexpr int kTrials = 40, kPairs = 21;
  Kernels kernels(gpu, cubin);
  constexpr std::size_t kBytes = std::size_t{16} << 20;
  const DeviceMemory from = gpu.allocate(kBytes), to = gpu.allocate(kBytes);
  const auto once = [&] {
    return gpu.time_ns(1, [&] {
      kernels.launch("kiln_copy", 256, from.address(), to.address(), static_cast<long long>(kBytes / kVectorBytes));
    });
  };
  for (int i = 0; i < 20; ++i) (void)once();  // warm
  int seen = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::array<double, kPairs> differences{};
    for (int i = 0; i < kPairs; ++i) {
      const double first = once(), second = once();
      differences[static_cast<std::size_t>(i)] = i % 2 == 0 ? first - second : second - first;
    }
    if (cpu::leaves_out_zero(differences)) ++seen;
  }
  return static_cast<double>(seen) / kTrials;
}

}  // namespace kiln::targets::cuda
