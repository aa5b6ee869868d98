// Ceilings are measured, so the tests hold them to what must be true on any machine, not to figures.
#include <doctest/doctest.h>

#include <array>
#include <ctime>
#include <numeric>

#include "daemon/targets/cpu/ceiling_table.h"
#include "daemon/targets/cpu/ceilings.h"
#include "daemon/targets/cpu/instrument.h"
#include "runtime/base/cpu_features.h"
#include "runtime/base/error.h"

using namespace kiln;
using namespace kiln::targets::cpu;

TEST_CASE("every level and type has a figure, in a physical order, within seconds") {
  const CpuDescription cpu = detect();
  const std::clock_t begin = std::clock();  // of this process: how long it waits is for others to decide
  const Ceilings c = measure_ceilings(cpu, 1);
  CHECK(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC < 20);
  for (const char* level : {"memory_read", "memory_copy"}) {
    REQUIRE(c.bandwidth.count(level) == 1);
    CHECK(c.bandwidth.at(level) > 1e8);   // slower than any memory of this century
    CHECK(c.bandwidth.at(level) < 1e13);
  }
  // The nearest cache is never slower than memory.
  if (c.bandwidth.count("l1_read")) CHECK(c.bandwidth.at("l1_read") > c.bandwidth.at("memory_read"));
  CHECK(c.flops.at("f64") > 1e7);
  CHECK(c.flops.at("f32") > 1.2 * c.flops.at("f64"));  // twice the lanes
}

TEST_CASE("the copy loop copies") {
  for (const CeilingKernels* k : {&ceiling_kernels_generic, has_cpu_feature("avx2") ? &ceiling_kernels_avx2 : nullptr,
                                  has_cpu_feature("avx512f") ? &ceiling_kernels_avx512 : nullptr}) {
    if (!k) continue;
    alignas(64) std::array<unsigned char, 4096> from{}, to{};
    std::iota(from.begin(), from.end(), static_cast<unsigned char>(0));
    k->copy(to.data(), from.data(), 4096);
    CHECK(from == to);
    CHECK(k->flops_f32 == 2 * k->flops_f64);
  }
}

TEST_CASE("the interval of 21 differences: ranks 6 and 16") {
  std::array<double, 21> d{};
  for (std::size_t i = 0; i < d.size(); ++i) d[i] = static_cast<double>(i) - 10;  // -10 .. 10
  CHECK_FALSE(leaves_out_zero(d));
  for (std::size_t i = 0; i < d.size(); ++i) d[i] = static_cast<double>(i) - 4.5;  // 5 below zero
  CHECK(leaves_out_zero(d));
  for (std::size_t i = 0; i < d.size(); ++i) d[i] = static_cast<double>(i) - 5.5;  // 6 below zero
  CHECK_FALSE(leaves_out_zero(d));
  for (std::size_t i = 0; i < d.size(); ++i) d[i] = static_cast<double>(i) - 15.5;  // 5 above zero
  CHECK(leaves_out_zero(d));
  CHECK_THROWS_AS((void)leaves_out_zero(std::span(d).first(20)), Error);
}
