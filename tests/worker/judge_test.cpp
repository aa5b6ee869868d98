// What the oracle's side does with memory: arenas, test inputs, and the comparison, against figures worked out by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "agents/graph/interpreter.h"
#include "daemon/worker/arena.h"
#include "daemon/worker/compare.h"
#include "daemon/worker/inputs.h"
#include "runtime/base/json.h"

using namespace kiln;
using namespace kiln::worker;
using graph::DType;

namespace {

template <class T>
graph::Tensor tensor(DType type, const std::vector<T>& values) {
  graph::Tensor t = graph::Tensor::zeros({type, {static_cast<std::int64_t>(values.size())}});
  std::memcpy(t.bytes.data(), values.data(), sizeof(T) * values.size());
  return t;
}
graph::Tensor f32(const std::vector<float>& v) { return tensor(DType::f32, v); }
graph::Tensor f64(const std::vector<double>& v) { return tensor(DType::f64, v); }

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

struct Moments {
  double mean = 0, variance = 0, least = 1e300, most = -1e300;
};
Moments moments(const std::string& family) {
  const graph::Tensor t = make_input({DType::f64, {40'000}}, std::nullopt, family, 5, 0);
  Moments m;
  for (const double x : t.as<double>()) m.mean += x / 40'000;
  for (const double x : t.as<double>()) {
    m.variance += (x - m.mean) * (x - m.mean) / 40'000;
    m.least = std::min(m.least, x);
    m.most = std::max(m.most, x);
  }
  return m;
}

}  // namespace

TEST_CASE("errors of a worked example") {
  // ref = (3, 4), |ref| = 5, rms = 5 / sqrt 2; candidate is off by (0, 0.5), plain by (0.25, 0).
  const auto e = compare_output(f32({3, 4.5f}).bytes, f32({3.25f, 4}), f64({3, 4}));
  CHECK(e.normwise == doctest::Approx(0.1));
  CHECK(e.normwise_plain == doctest::Approx(0.05));
  CHECK(e.max_scaled == doctest::Approx(0.5 / (5 / std::sqrt(2.0))));
  CHECK(e.max_scaled_plain == doctest::Approx(0.25 / (5 / std::sqrt(2.0))));
  CHECK(e.worst_index == 1);
  CHECK(e.worst_value == 4.5);
  CHECK(e.worst_expected == 4);
  CHECK(e.mismatched_nonfinite == 0);
}

TEST_CASE("an all-zero reference gives absolute errors") {
  const auto e = compare_output(f32({0, 0.5f}).bytes, f32({0, 0}), f64({0, 0}));
  CHECK(e.normwise == 0.5);
  CHECK(e.max_scaled == 0.5);
  CHECK(e.normwise_plain == 0);
}

TEST_CASE("what is not finite must be so in the same way") {
  const double dinf = std::numeric_limits<double>::infinity();
  const graph::Tensor plain = f32({inf, -inf, nan_value, 1});
  const graph::Tensor want = f64({dinf, -dinf, std::nan(""), 1});
  CHECK(compare_output(f32({inf, -inf, nan_value, 1}).bytes, plain, want).mismatched_nonfinite == 0);
  CHECK(compare_output(f32({-inf, -inf, nan_value, 1}).bytes, plain, want).mismatched_nonfinite == 1);
  CHECK(compare_output(f32({nan_value, inf, 0, nan_value}).bytes, plain, want).mismatched_nonfinite == 4);
  const auto one = compare_output(f32({inf, -inf, nan_value, inf}).bytes, plain, want);
  CHECK(one.mismatched_nonfinite == 1);
  CHECK(one.worst_index == 3);
  // 1e300 has no f32: the plain evaluation overflows, and so may the candidate.
  CHECK(compare_output(f32({inf}).bytes, f32({inf}), f64({1e300})).mismatched_nonfinite == 0);
  CHECK(compare_output(f32({inf}).bytes, f32({1e30f}), f64({1e30})).mismatched_nonfinite == 1);
}

TEST_CASE("one wrong element among many is seen") {
  std::vector<float> values(10'000, 1.0f);
  values[7777] = 1.5f;
  const auto e =
      compare_output(f32(values).bytes, f32(std::vector<float>(10'000, 1.0f)), f64(std::vector<double>(10'000, 1.0)));
  CHECK(e.max_scaled == doctest::Approx(0.5));
  CHECK(e.worst_index == 7777);
  CHECK(e.normwise == doctest::Approx(0.005));
}

TEST_CASE("tiny references do not vanish when squared") {
  const auto e = compare_output(f32({3e-40f}).bytes, f32({2e-40f}), f64({2e-40}));
  CHECK(e.normwise == doctest::Approx(0.5).epsilon(1e-4));
  const auto d = compare_output(f64({3e-310}).bytes, f64({2e-310}), f64({2e-310}));
  CHECK(d.normwise == doctest::Approx(0.5).epsilon(1e-4));
}

TEST_CASE("integers are compared as numbers") {
  const auto e = compare_output(tensor<std::int32_t>(DType::i32, {5, 7}).bytes,
                                tensor<std::int32_t>(DType::i32, {5, 8}), tensor<std::int32_t>(DType::i32, {5, 8}));
  CHECK(e.worst_index == 1);
  CHECK(e.normwise > 0);
  CHECK(e.normwise_plain == 0);
}

TEST_CASE("families have the moments that they are named for") {
  CHECK(moments("normal").mean == doctest::Approx(0).epsilon(0.03));
  CHECK(std::abs(moments("normal").mean) < 0.02);
  CHECK(moments("normal").variance == doctest::Approx(1).epsilon(0.03));
  CHECK(moments("uniform").mean == doctest::Approx(0.5).epsilon(0.01));
  CHECK(moments("uniform").variance == doctest::Approx(1.0 / 12).epsilon(0.03));
  CHECK(moments("uniform").least >= 0);
  CHECK(moments("uniform").most < 1);
  CHECK(moments("shifted").mean == doctest::Approx(4).epsilon(0.01));
  CHECK(moments("heavy_tail").most > 100);
  CHECK(moments("amplified").variance == doctest::Approx(64 * 64).epsilon(0.03));
  CHECK(moments("integers").least == -4);
  CHECK(moments("integers").most == 4);
  CHECK(moments("denormals").most < 2.3e-308);
  CHECK(moments("denormals").most > 0);
  CHECK_THROWS_AS((void)make_input({DType::f32, {1}}, std::nullopt, "nonsense", 1, 0), Error);
}

TEST_CASE("values depend on family, seed and stream, and on nothing else") {
  const graph::TensorType type{DType::f32, {100}};
  const auto bytes = [&](std::uint64_t seed, std::uint64_t stream) {
    return make_input(type, std::nullopt, "normal", seed, stream).bytes;
  };
  CHECK(bytes(1, 0) == bytes(1, 0));
  CHECK(bytes(1, 0) != bytes(2, 0));
  CHECK(bytes(1, 0) != bytes(1, 1));
}

TEST_CASE("no family is a multiple of another") {
  const graph::TensorType type{DType::f64, {100}};
  const graph::Tensor normal = make_input(type, std::nullopt, "normal", 1, 0),
                      amplified = make_input(type, std::nullopt, "amplified", 1, 0);
  CHECK(amplified.as<double>()[0] / normal.as<double>()[0] != amplified.as<double>()[1] / normal.as<double>()[1]);
}

TEST_CASE("threads change neither the values nor what a comparison says of them") {
  const graph::TensorType type{DType::f32, {700'001}};
  const graph::Tensor one = make_input(type, std::nullopt, "heavy_tail", 3, 1),
                      many = make_input(type, std::nullopt, "heavy_tail", 3, 1, 5);
  CHECK(one.bytes == many.bytes);
  const graph::Tensor other = make_input(type, std::nullopt, "heavy_tail", 4, 1);
  std::vector<double> exact(700'001);
  for (std::size_t i = 0; i < exact.size(); ++i) exact[i] = static_cast<double>(one.as<float>()[i]);
  const auto alone = compare_output(other.bytes, one, f64(exact)),
             together = compare_output(other.bytes, one, f64(exact), 5);
  CHECK(alone.normwise == together.normwise);
  CHECK(alone.max_scaled == together.max_scaled);
  CHECK(alone.worst_index == together.worst_index);
  CHECK(alone.normwise > 0.1);
}

TEST_CASE("of a long axis few indices show both ends, and the last element by its negative index") {
  const graph::Tensor t = make_input({DType::i64, {100}}, graph::Domain{-5000, 4999}, "normal", 1, 0);
  for (const std::int64_t wanted : {-5000, -1, 0, 4999}) {
    const auto values = t.as<std::int64_t>();
    CHECK(std::count(values.begin(), values.end(), wanted) > 0);
  }
}

TEST_CASE("integers keep to their domain and reach both ends") {
  const graph::Tensor t = make_input({DType::i64, {4000}}, graph::Domain{-3, 9}, "normal", 1, 0);
  std::int64_t least = 100, most = -100;
  for (const std::int64_t v : t.as<std::int64_t>()) {
    least = std::min(least, v);
    most = std::max(most, v);
  }
  CHECK(least == -3);
  CHECK(most == 9);
}

TEST_CASE("an arena: aligned windows, guards all around, and each broken guard byte found") {
  Edge edge{};
  SUBCASE("at the guard page before") { edge = Edge::begin; }
  SUBCASE("at the guard page behind") { edge = Edge::end; }
  const ArenaLayout layout =
      layout_arena({{DType::f32, {3}}, {DType::i64, {}}}, {{DType::f64, {5}}, {DType::boolean, {7}}}, edge);
  CHECK(layout.inputs[0].bytes == 12);
  CHECK(layout.inputs[1].bytes == 8);
  CHECK(layout.outputs[0].bytes == 40);
  CHECK(layout.outputs[1].bytes == 7);
  std::vector<std::byte> arena(layout.total_bytes);
  paint_arena(arena, layout, std::byte{0xff});
  std::vector<bool> inside(arena.size(), false);
  for (const auto* windows : {&layout.inputs, &layout.outputs})
    for (const auto& w : *windows) {
      CHECK(w.offset % 64 == 0);
      CHECK(w.offset >= kGuardBytes);
      const std::size_t line_end = (w.offset + w.bytes + 63) / 64 * 64;  // where a kernel may read
      CHECK((edge == Edge::begin ? w.offset : line_end) % kGuardBytes == 0);
      for (std::size_t i = 0; i < w.bytes; ++i) inside[w.offset + i] = true;
    }
  CHECK(broken_guard(arena, layout, std::byte{0xff}) == -1);
  for (std::size_t i = 0; i < arena.size(); i += 13) {
    arena[i] ^= std::byte{1};
    CHECK(broken_guard(arena, layout, std::byte{0xff}) == (inside[i] ? -1 : static_cast<std::int64_t>(i)));
    arena[i] ^= std::byte{1};
  }
  const std::vector<std::byte> painted = arena;
  for (const GuardPage& page : guard_pages(layout)) {
    CHECK(page.offset % kGuardBytes == 0);
    for (std::size_t i = 0; i < kGuardBytes; ++i) CHECK_FALSE(inside.at(page.offset + i));
    std::fill_n(arena.begin() + static_cast<std::ptrdiff_t>(page.offset), kGuardBytes, std::byte{});
  }
  CHECK(guard_pages(layout).size() == 8);
  const std::vector<std::byte> open = copy_of(painted, layout);
  CHECK(open.size() == 4 * kGuardBytes);
  std::vector<std::byte> other(arena.size());
  copy_back(open, other, layout);
  CHECK(other == arena);  // all but the guard pages
  CHECK(arena_from_json(to_json(layout), arena.size()).outputs[1].offset == layout.outputs[1].offset);
  CHECK_THROWS_AS((void)arena_from_json(to_json(layout), layout.outputs[1].offset + 6), Error);
  CHECK_THROWS_AS((void)arena_from_json(json::parse("{\"inputs\":[[0,-1]],\"outputs\":[]}", "t"), 100), Error);
  CHECK_THROWS_AS((void)arena_from_json(
                      json::parse("{\"inputs\":[[9223372036854775807,9223372036854775807]],\"outputs\":[]}", "t"), 100),
                  Error);
}

TEST_CASE("elements that still are poison") {
  const ArenaLayout layout = layout_arena({}, {{DType::f32, {4}}, {DType::f32, {4}}}, Edge::end);
  std::vector<std::byte> arena(layout.total_bytes);
  paint_arena(arena, layout, std::byte{0xff});
  const auto write = [&](std::size_t output, std::size_t element, std::uint32_t bits) {
    std::memcpy(arena.data() + layout.outputs[output].offset + 4 * element, &bits, 4);
  };
  for (std::size_t e = 0; e < 4; ++e) write(0, e, 0x3f80ffffu);  // two bytes of poison are no poison
  CHECK(find_unwritten(arena, layout, {4, 4}, std::byte{0xff}).output == 1);
  for (std::size_t e : {0, 1, 3}) write(1, e, 0xffff0000u);
  const OutputElement hole = find_unwritten(arena, layout, {4, 4}, std::byte{0xff});
  CHECK(hole.output == 1);
  CHECK(hole.element == 2);
  write(1, 2, 0);
  CHECK(find_unwritten(arena, layout, {4, 4}, std::byte{0xff}).output == -1);
}
