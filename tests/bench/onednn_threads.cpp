// onednn_threads: products with a weight as oneDNN runs them on its own OpenMP team, for comparison with the same
// shapes as matmul/onednn of cpu_kernels, where each of libkiln's threads runs a primitive of its own. A process of its
// own, since the two teams would disturb each other. Set OMP_NUM_THREADS.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

namespace {

using namespace dnnl;
struct Shape { memory::dim m, n, k; bool gelu; };

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

memory filled(const memory::desc& desc, const engine& cpu) {
  memory m(desc, cpu);
  auto* values = static_cast<float*>(m.get_data_handle());
  for (std::size_t i = 0; i < desc.get_size() / sizeof(float); ++i)
    values[i] = static_cast<float>(i * 7919 % 1000) / 500 - 1;
  return m;
}

void measure(const Shape& s, const engine& cpu, stream& queue) {
  using type = memory::data_type;
  using tag = memory::format_tag;
  const memory::desc a({s.m, s.k}, type::f32, tag::ab), b({s.k, s.n}, type::f32, tag::any),
      c({s.m, s.n}, type::f32, tag::ab), bias({1, s.n}, type::f32, tag::ab);
  primitive_attr attributes;
  if (s.gelu) {
    post_ops steps;
    steps.append_eltwise(1.0f, algorithm::eltwise_gelu_erf, 0, 0);
    attributes.set_post_ops(steps);
  }
  const matmul::primitive_desc chosen(matmul::desc(a, b, bias, c), attributes, cpu);
  const matmul operation(chosen);
  const std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, filled(a, cpu)},
                                                  {DNNL_ARG_WEIGHTS, filled(chosen.weights_desc(), cpu)},
                                                  {DNNL_ARG_BIAS, filled(bias, cpu)},
                                                  {DNNL_ARG_DST, memory(c, cpu)}};
  const double flops = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  const int calls = std::max(1, static_cast<int>(6e8 / flops));
  std::vector<double> us;
  for (int round = 0; round < 25; ++round) {
    const double begin = seconds();
    for (int i = 0; i < calls; ++i) operation.execute(queue, arguments);
    queue.wait();
    us.push_back((seconds() - begin) / calls * 1e6);
  }
  std::sort(us.begin(), us.end());
  std::printf("matmul:%ldx%ldx%ld:%s %10.1f us min %10.1f us median %7.1f GFLOP/s\n", static_cast<long>(s.m),
              static_cast<long>(s.n), static_cast<long>(s.k), s.gelu ? "gelu" : "bias", us.front(), us[us.size() / 2],
              flops / us.front() / 1e3);
}

}  // namespace

int main() {
  const engine cpu(engine::kind::cpu, 0);
  stream queue(cpu);
  for (const Shape& s : {Shape{512, 128, 128, false},
                         {512, 256, 128, true},
                         {128, 384, 384, false},
                         {128, 1536, 384, true},
                         {1024, 384, 384, false},
                         {1024, 1536, 384, true},
                         {1024, 384, 1536, false}})
    measure(s, cpu, queue);
}
