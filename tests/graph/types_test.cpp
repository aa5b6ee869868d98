#include "agents/graph/types.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/base/error.h"

using namespace kiln;
using namespace kiln::graph;

namespace {

std::uint16_t bits(DType type, double value) {
  std::byte bytes[2];
  store_double(type, bytes, 0, value);
  std::uint16_t out;
  std::memcpy(&out, bytes, 2);
  return out;
}

double value(DType type, std::uint16_t pattern) {
  std::byte bytes[2];
  std::memcpy(bytes, &pattern, 2);
  return load_double(type, bytes, 0);
}

}  // namespace

TEST_CASE("binary16 has the values that IEEE 754 lists") {
  CHECK(bits(DType::f16, 1.0) == 0x3c00);
  CHECK(bits(DType::f16, -2.0) == 0xc000);
  CHECK(bits(DType::f16, 65504) == 0x7bff);                // largest
  CHECK(bits(DType::f16, 65519.99) == 0x7bff);
  CHECK(bits(DType::f16, 65520) == 0x7c00);                // ties to even: infinity
  CHECK(bits(DType::f16, std::ldexp(1, -14)) == 0x0400);   // smallest normal
  CHECK(bits(DType::f16, std::ldexp(1, -24)) == 0x0001);   // smallest subnormal
  CHECK(bits(DType::f16, std::ldexp(1, -25)) == 0x0000);   // tie to even
  CHECK(bits(DType::f16, std::ldexp(1.001, -25)) == 0x0001);
  CHECK(bits(DType::f16, 1.0 / 3) == 0x3555);
  CHECK(bits(DType::f16, -0.0) == 0x8000);
  CHECK(std::isnan(value(DType::f16, bits(DType::f16, NAN))));
}

TEST_CASE("every 16-bit pattern survives widening and narrowing") {
  for (const DType type : {DType::f16, DType::bf16})
    for (unsigned pattern = 0; pattern < 0x10000; ++pattern) {
      const double wide = value(type, static_cast<std::uint16_t>(pattern));
      if (!std::isnan(wide)) REQUIRE(bits(type, wide) == pattern);
    }
}

TEST_CASE("bfloat16 is the upper half of a float, rounded to even") {
  CHECK(bits(DType::bf16, 1.0) == 0x3f80);
  CHECK(bits(DType::bf16, 1.0 + std::ldexp(1, -8)) == 0x3f80);      // tie, even below
  CHECK(bits(DType::bf16, 1.0 + 3 * std::ldexp(1, -8)) == 0x3f82);  // tie, even above
  CHECK(bits(DType::bf16, 3.4e38) == 0x7f80);
}

TEST_CASE("integers saturate and round to even") {
  std::byte b[8];
  const auto round_trip = [&](DType type, double x) { store_double(type, b, 0, x); return load_double(type, b, 0); };
  CHECK(round_trip(DType::i8, 300) == 127);
  CHECK(round_trip(DType::i8, -300) == -128);
  CHECK(round_trip(DType::u8, -1) == 0);
  CHECK(round_trip(DType::i32, 2.5) == 2);
  CHECK(round_trip(DType::i32, 3.5) == 4);
  CHECK(round_trip(DType::i64, 1e30) == 9223372036854775807.0);
  CHECK(round_trip(DType::i64, NAN) == 0);
  CHECK(round_trip(DType::boolean, 0.5) == 1);
}

TEST_CASE("names of types go both ways") {
  for (int i = 0; i <= static_cast<int>(DType::boolean); ++i)
    CHECK(dtype_from_name(name(static_cast<DType>(i))) == static_cast<DType>(i));
  CHECK_THROWS_AS((void)dtype_from_name("float"), Error);
}

TEST_CASE("shapes broadcast as in NumPy, and have at most 2^40 elements") {
  CHECK(broadcast({3, 1, 5}, {4, 1}) == Shape{3, 4, 5});
  CHECK(broadcast({}, {2}) == Shape{2});
  CHECK(broadcast({0}, {1}) == Shape{0});
  CHECK_THROWS_AS((void)broadcast({2}, {3}), Error);
  CHECK(element_count({}) == 1);
  CHECK(element_count({1 << 20, 1 << 20}) == std::int64_t(1) << 40);
  CHECK_THROWS_AS((void)element_count({1 << 20, (1 << 20) + 1}), Error);
  CHECK_THROWS_AS((void)element_count({std::int64_t(1) << 62, std::int64_t(1) << 62, 4}), Error);
  CHECK_THROWS_AS((void)element_count({-1}), Error);
  CHECK(element_count({0, 5}) == 0);
  CHECK(row_major_strides({2, 3, 4}) == std::vector<std::int64_t>{12, 4, 1});
}

TEST_CASE("8-bit floats: the extremes of their papers, and every encoding comes back") {
  const auto load8 = [](DType type, int bits) {
    const auto byte = static_cast<std::byte>(bits);
    return load_double(type, &byte, 0);
  };
  const auto store8 = [](DType type, double value) {
    std::byte byte{};
    store_double(type, &byte, 0, value);
    return std::to_integer<int>(byte);
  };
  struct Format { DType type; double top, least_normal, least; };
  for (const Format& f :
       {Format{DType::f8e4m3fn, 448, 0x1p-6, 0x1p-9}, Format{DType::f8e4m3fnuz, 240, 0x1p-7, 0x1p-10},
        Format{DType::f8e5m2, 57344, 0x1p-14, 0x1p-16}, Format{DType::f8e5m2fnuz, 57344, 0x1p-15, 0x1p-17}}) {
    INFO(name(f.type));
    CHECK(size_of(f.type) == 1);
    CHECK(load8(f.type, 1) == f.least);
    CHECK(load8(f.type, f.type == DType::f8e5m2 || f.type == DType::f8e5m2fnuz ? 4 : 8) == f.least_normal);
    CHECK(load8(f.type, store8(f.type, 1e9)) == f.top);
    CHECK(load8(f.type, store8(f.type, -1e9)) == -f.top);
    CHECK(store8(f.type, f.least / 2) == 0);  // a tie, to even
    CHECK(store8(f.type, f.least * 0.51) == 1);
    CHECK(std::isnan(load8(f.type, store8(f.type, NAN))));
    for (int bits = 0; bits < 256; ++bits) {
      const double value = load8(f.type, bits);
      if (std::isfinite(value)) CHECK(store8(f.type, value) == bits);
    }
  }
  CHECK(store8(DType::f8e4m3fn, INFINITY) == 0x7e);
  CHECK(std::isnan(load8(DType::f8e4m3fn, 0xff)));
  CHECK(load8(DType::f8e5m2, 0xfc) == -INFINITY);
  CHECK(store8(DType::f8e5m2, INFINITY) == 0x7b);
  CHECK(store8(DType::f8e4m3fnuz, INFINITY) == 0x80);
  CHECK(store8(DType::f8e5m2fnuz, -0.0) == 0);
  CHECK(store8(DType::f8e4m3fn, 17) == 0x58);  // between 16 (0x58) and 18 (0x59): to even
  CHECK(store8(DType::f8e4m3fn, 19) == 0x5a);  // between 18 and 20
}
