// MatMulInteger and QLinearMatMul: bytes stay bytes where the weights are constant, and the result is the formula's.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/graph/onnx_models.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

constexpr std::int64_t kM = 3, kN = 4, kK = 5;

// An initializer of integers that fit a byte.
void add_bytes(Model& m, const std::string& name, const std::vector<std::int64_t>& dims, int type,
               const std::vector<int>& values) {
  auto* tensor = m.mutable_graph()->add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(type);
  for (const std::int64_t extent : dims) tensor->add_dims(extent);
  std::string bytes;
  for (const int value : values) bytes += static_cast<char>(value);
  tensor->set_raw_data(bytes);
}

void add_scale(Model& m, const std::string& name, float value) {
  auto* tensor = m.mutable_graph()->add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(::onnx::TensorProto::FLOAT);
  tensor->add_float_data(value);
}

std::vector<int> numbers(std::int64_t count, int first, int step, int modulus, int least) {
  std::vector<int> out;
  for (std::int64_t i = 0; i < count; ++i) out.push_back((first + static_cast<int>(i) * step) % modulus + least);
  return out;
}

struct Matrices {
  std::vector<int> a, b, a_zero, b_zero;
  int b_type = ::onnx::TensorProto::INT8;
};

std::vector<double> exact(const Matrices& c) {
  std::vector<double> out;
  const auto of = [](const std::vector<int>& points, std::int64_t i) {
    return points.empty() ? 0 : points[points.size() == 1 ? 0 : static_cast<std::size_t>(i)];
  };
  for (std::int64_t i = 0; i < kM; ++i)
    for (std::int64_t j = 0; j < kN; ++j) {
      double sum = 0;
      for (std::int64_t p = 0; p < kK; ++p)
        sum += (c.a[static_cast<std::size_t>(i * kK + p)] - of(c.a_zero, i)) *
               (c.b[static_cast<std::size_t>(p * kN + j)] - of(c.b_zero, j));
      out.push_back(sum);
    }
  return out;
}

// Whether a product of the graph multiplies bytes.
bool multiplies_bytes(const Graph& g) {
  return std::any_of(g.nodes.begin(), g.nodes.end(), [&](const Node& n) {
    return std::holds_alternative<MatMul>(n.op) && size_of(g.type(n.inputs[0]).dtype) == 1;
  });
}

Tensor bytes_of(const std::vector<int>& values) {
  Tensor out = Tensor::zeros({DType::u8, {kM, kK}});
  for (std::size_t i = 0; i < values.size(); ++i) out.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(values[i]);
  return out;
}

void check_integers(const Matrices& c, bool bytes) {
  Model m = model();
  add_input(m, "a", {std::to_string(kM), std::to_string(kK)}, ::onnx::TensorProto::UINT8);
  add_bytes(m, "b", {kK, kN}, c.b_type, c.b);
  std::vector<std::string> inputs = {"a", "b"};
  for (const auto& [name, points, type] :
       {std::tuple{"a_zero", c.a_zero, int{::onnx::TensorProto::UINT8}}, std::tuple{"b_zero", c.b_zero, c.b_type}}) {
    inputs.emplace_back(points.empty() ? "" : name);
    if (points.size() == 1) add_bytes(m, name, {}, type, points);
    if (points.size() > 1) add_bytes(m, name, {static_cast<std::int64_t>(points.size())}, type, points);
  }
  add_node(m, "MatMulInteger", inputs, "y");
  const Graph g = import(m, "y").graph;
  CHECK(multiplies_bytes(g) == bytes);
  if (bytes) {  // what a kernel is tried with reaches the ends of the type
    CHECK(input_domains(g)[0]->low == 0);
    CHECK(input_domains(g)[0]->high == 255);
  }
  const Tensor y = evaluate(g, {bytes_of(c.a)}, Arithmetic::fp64)[0];
  REQUIRE(y.type == TensorType{DType::i32, {kM, kN}});
  const std::vector<double> want = exact(c);
  for (std::int64_t i = 0; i < kM * kN; ++i)
    CHECK(load_double(DType::i32, y.bytes.data(), i) == want[static_cast<std::size_t>(i)]);
}

}  // namespace

TEST_CASE("a product with constant weights multiplies bytes, whatever the zero points") {
  const std::vector<int> a = numbers(kM * kK, 3, 67, 256, 0), b = numbers(kK * kN, 5, 91, 256, -128);
  check_integers({a, b, {}, {}}, true);
  check_integers({a, b, {131}, {}}, true);
  check_integers({a, b, {7, 255, 0}, {0}}, true);
  const std::vector<int> unsigned_b = numbers(kK * kN, 5, 91, 256, 0);
  check_integers({a, unsigned_b, {131}, {128}, ::onnx::TensorProto::UINT8}, true);
  check_integers({a, numbers(kK * kN, 5, 13, 90, 40), {1}, {40, 50, 60, 70}, ::onnx::TensorProto::UINT8}, true);
}

TEST_CASE("weights that leave the range of i8 without their zero point are multiplied as i32") {
  const std::vector<int> a = numbers(kM * kK, 3, 67, 256, 0), b = numbers(kK * kN, 0, 91, 256, 0);
  check_integers({a, b, {131}, {10}, ::onnx::TensorProto::UINT8}, false);
}

TEST_CASE("QLinearMatMul scales the exact sums, rounds ties to even and saturates") {
  Model m = model();
  add_input(m, "a", {std::to_string(kM), std::to_string(kK)}, ::onnx::TensorProto::UINT8);
  const Matrices c{numbers(kM * kK, 3, 67, 256, 0), numbers(kK * kN, 5, 91, 256, -128), {131}, {0}};
  add_scale(m, "a_scale", 0.5f);
  add_bytes(m, "a_zero", {}, ::onnx::TensorProto::UINT8, c.a_zero);
  add_bytes(m, "b", {kK, kN}, ::onnx::TensorProto::INT8, c.b);
  add_scale(m, "b_scale", 0.25f);
  add_bytes(m, "b_zero", {}, ::onnx::TensorProto::INT8, c.b_zero);
  add_scale(m, "y_scale", 16);
  add_bytes(m, "y_zero", {}, ::onnx::TensorProto::UINT8, {100});
  add_node(m, "QLinearMatMul", {"a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "y_scale", "y_zero"}, "y");
  const Graph g = import(m, "y").graph;
  CHECK(multiplies_bytes(g));
  const Tensor y = evaluate(g, {bytes_of(c.a)}, Arithmetic::fp64)[0];
  const std::vector<double> sums = exact(c);
  for (std::int64_t i = 0; i < kM * kN; ++i) {
    const double want = std::clamp(std::nearbyint(sums[static_cast<std::size_t>(i)] / 128) + 100, 0.0, 255.0);
    CHECK(load_double(DType::u8, y.bytes.data(), i) == want);
  }
}

TEST_CASE("ConvInteger convolves bytes, and its padding stands for the zero point") {
  constexpr std::int64_t c = 2, side = 5, m = 3, kernel = 3;
  const std::vector<int> x = numbers(c * side * side, 3, 67, 256, 0),
                         w = numbers(m * c * kernel * kernel, 5, 91, 200, -100);
  for (const int zero : {0, 131}) {
    Model model_of = model();
    add_input(model_of, "x", {"1", std::to_string(c), std::to_string(side), std::to_string(side)},
              ::onnx::TensorProto::UINT8);
    add_bytes(model_of, "w", {m, c, kernel, kernel}, ::onnx::TensorProto::INT8, w);
    add_bytes(model_of, "x_zero", {}, ::onnx::TensorProto::UINT8, {zero});
    add_bytes(model_of, "w_zero", {m}, ::onnx::TensorProto::INT8, {3, 0, -20});
    auto& node = add_node(model_of, "ConvInteger", {"x", "w", "x_zero", "w_zero"}, "y");
    auto* pads = node.add_attribute();
    pads->set_name("pads");
    pads->set_type(::onnx::AttributeProto::INTS);
    for (int i = 0; i < 4; ++i) pads->add_ints(1);
    const Graph g = import(model_of, "y").graph;
    CHECK(std::any_of(g.nodes.begin(), g.nodes.end(), [&](const Node& n) {
      return std::holds_alternative<Convolution>(n.op) && size_of(g.type(n.inputs[0]).dtype) == 1;
    }));
    CHECK(std::any_of(g.nodes.begin(), g.nodes.end(), [](const Node& n) {
      return std::holds_alternative<Pad>(n.op);
    }) == (zero != 0));
    Tensor image = Tensor::zeros({DType::u8, {1, c, side, side}});
    for (std::size_t i = 0; i < x.size(); ++i) image.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(x[i]);
    const Tensor y = evaluate(g, {image}, Arithmetic::fp64)[0];
    REQUIRE(y.type == TensorType{DType::i32, {1, m, side, side}});
    const int w_zero[] = {3, 0, -20};
    int wrong = 0;
    for (std::int64_t o = 0; o < m; ++o)
      for (std::int64_t row = 0; row < side; ++row)
        for (std::int64_t column = 0; column < side; ++column) {
          int sum = 0;
          for (std::int64_t i = 0; i < c; ++i)
            for (std::int64_t p = 0; p < kernel; ++p)
              for (std::int64_t q = 0; q < kernel; ++q) {
                const std::int64_t r = row + p - 1, s = column + q - 1;
                if (r < 0 || r >= side || s < 0 || s >= side) continue;
                sum += (x[static_cast<std::size_t>((i * side + r) * side + s)] - zero) *
                       (w[static_cast<std::size_t>(((o * c + i) * kernel + p) * kernel + q)] - w_zero[o]);
              }
          const double got = load_double(DType::i32, y.bytes.data(), (o * side + row) * side + column);
          wrong += got != sum;
        }
    CHECK(wrong == 0);
  }
}
