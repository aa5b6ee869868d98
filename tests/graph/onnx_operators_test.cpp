// Operators newer than the ONNX test data at hand, against their formulas written out.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/graph/onnx_models.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

void set_int(::onnx::NodeProto& node, const std::string& name, std::int64_t value) {
  auto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(::onnx::AttributeProto::INT);
  attribute->set_i(value);
}

double at(const Tensor& t, const Shape& index) {
  std::int64_t flat = 0;
  for (std::size_t d = 0; d < index.size(); ++d) flat = flat * t.type.shape[d] + index[d];
  return load_double(t.type.dtype, t.bytes.data(), flat);
}

// softmax(q k^T / sqrt(D) + mask) v for one query, whose head reads key head h / (Hq / Hkv), and no key after `last`.
std::vector<double> attend(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor* mask, std::int64_t b,
                           std::int64_t h, std::int64_t i, std::int64_t last) {
  const std::int64_t width = q.type.shape[3], from = h / (q.type.shape[1] / k.type.shape[1]);
  std::vector<double> out(static_cast<std::size_t>(v.type.shape[3]), 0);
  double sum = 0;
  for (std::int64_t j = 0; j <= std::min(last, k.type.shape[2] - 1); ++j) {
    double score = 0;
    for (std::int64_t d = 0; d < width; ++d) score += at(q, {b, h, i, d}) * at(k, {b, from, j, d});
    const double weight =
        std::exp(score / std::sqrt(static_cast<double>(width)) + (mask != nullptr ? at(*mask, {h, i, j}) : 0));
    sum += weight;
    for (std::size_t e = 0; e < out.size(); ++e) out[e] += weight * at(v, {b, from, j, static_cast<std::int64_t>(e)});
  }
  for (double& value : out) value /= sum;
  return out;
}

void check_attention(std::int64_t keys, bool causal, bool masked) {
  Model m = model(23);
  add_input(m, "q", {"2", "6", "4", "8"});
  add_input(m, "k", {"2", "3", std::to_string(keys), "8"});
  add_input(m, "v", {"2", "3", std::to_string(keys), "5"});
  if (masked) add_input(m, "mask", {"6", "4", std::to_string(keys)});
  auto& node = add_node(m, "Attention", {"q", "k", "v"}, "y");
  if (masked) node.add_input("mask");
  if (causal) set_int(node, "is_causal", 1);
  const auto result = import(m, "y");
  const Tensor q = random_floats({2, 6, 4, 8}, 1), k = random_floats({2, 3, keys, 8}, 2),
               v = random_floats({2, 3, keys, 5}, 3);
  const Tensor mask = random_floats({6, 4, keys}, 4);
  std::vector<Tensor> inputs = {q, k, v};
  if (masked) inputs.push_back(mask);
  const Tensor y = evaluate(result.graph, inputs, Arithmetic::fp64)[0];
  REQUIRE(y.type.shape == Shape{2, 6, 4, 5});
  for (std::int64_t b = 0; b < 2; ++b) for (std::int64_t h = 0; h < 6; ++h) for (std::int64_t i = 0; i < 4; ++i) {
    const auto want = attend(q, k, v, masked ? &mask : nullptr, b, h, i, causal ? i : keys);
    for (std::int64_t e = 0; e < 5; ++e)
      REQUIRE(at(y, {b, h, i, e}) == doctest::Approx(want[static_cast<std::size_t>(e)]).epsilon(1e-6));
  }
}

void set_ints(::onnx::NodeProto& node, const std::string& name, const std::vector<std::int64_t>& values) {
  auto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(::onnx::AttributeProto::INTS);
  for (const std::int64_t value : values) attribute->add_ints(value);
}

std::string add_ints(Model& m, const std::string& name, const Shape& values) {
  auto* tensor = m.mutable_graph()->add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(::onnx::TensorProto::INT64);
  tensor->add_dims(static_cast<std::int64_t>(values.size()));
  for (const std::int64_t value : values) tensor->add_int64_data(value);
  return name;
}

// The next index into `shape`; false after the last.
bool next(Shape& index, const Shape& shape) {
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (++index[d] < shape[d]) return true;
    index[d] = 0;
  }
  return false;
}

struct Fold {
  Shape image, block, strides, dilations, pads, columns;
};

Model fold_model(const Fold& f, std::int64_t images, std::int64_t rows, std::int64_t columns) {
  Model m = model(18);
  add_input(m, "x", {std::to_string(images), std::to_string(rows), std::to_string(columns)});
  auto& node = add_node(m, "Col2Im", {"x", add_ints(m, "image", f.image), add_ints(m, "block", f.block)}, "y");
  set_ints(node, "strides", f.strides);
  set_ints(node, "dilations", f.dilations);
  set_ints(node, "pads", f.pads);
  return m;
}

// Each element of a block is added where it lies in the image (ONNX operator Col2Im, version 18).
void check_fold(const Fold& f) {
  const std::size_t rank = f.image.size();
  constexpr std::int64_t kImages = 2, kChannels = 3;
  std::int64_t taps = 1, columns = 1;
  for (std::size_t d = 0; d < rank; ++d) {
    taps *= f.block[d];
    columns *= f.columns[d];
  }
  Model m = fold_model(f, kImages, kChannels * taps, columns);
  const Tensor x = random_floats({kImages, kChannels * taps, columns}, 1);
  Shape image = {kImages, kChannels};
  image.insert(image.end(), f.image.begin(), f.image.end());
  Tensor want = Tensor::zeros({DType::f64, image});
  for (std::int64_t n = 0; n < kImages * kChannels; ++n) {
    Shape tap(rank, 0);
    std::int64_t t = 0;
    do {
      Shape block(rank, 0);
      std::int64_t l = 0;
      do {
        std::int64_t to = n;
        bool inside = true;
        for (std::size_t d = 0; d < rank; ++d) {
          const std::int64_t place = block[d] * f.strides[d] + tap[d] * f.dilations[d] - f.pads[d];
          inside = inside && place >= 0 && place < f.image[d];
          to = to * f.image[d] + place;
        }
        const double value = at(x, {n / kChannels, n % kChannels * taps + t, l});
        if (inside) want.as<double>()[static_cast<std::size_t>(to)] += value;
        ++l;
      } while (next(block, f.columns));
      ++t;
    } while (next(tap, f.block));
  }
  const Tensor y = evaluate(import(m, "y").graph, {x}, Arithmetic::fp64)[0];
  REQUIRE(y.type.shape == image);
  for (std::size_t i = 0; i < want.as<double>().size(); ++i)
    REQUIRE(y.as<double>()[i] == doctest::Approx(want.as<double>()[i]).epsilon(1e-12));
}

}  // namespace

TEST_CASE("Col2Im adds blocks up where they lie over each other, with strides, dilations and pads") {
  check_fold({{5, 5}, {1, 5}, {1, 1}, {1, 1}, {0, 0, 0, 0}, {5, 1}});
  check_fold({{7, 6}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, {7, 6}});
  check_fold({{14, 13}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 0}, {7, 6}});  // VOLO's, and a side that blocks do not reach
  check_fold({{6, 6}, {2, 2}, {1, 1}, {1, 5}, {0, 0, 0, 0}, {5, 1}});
  check_fold({{9, 11}, {2, 3}, {3, 2}, {2, 3}, {0, 2, 1, 1}, {3, 4}});
  check_fold({{13}, {2}, {4}, {1}, {1, 0}, {4}});  // between blocks there is nothing
  check_fold({{3, 4, 5}, {1, 2, 3}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0, 0, 0, 0}, {3, 3, 3}});
}

TEST_CASE("Col2Im keeps an infinity where it is, and refuses columns that do not fit") {
  const Fold f{{3, 3}, {2, 2}, {1, 1}, {1, 1}, {0, 0, 0, 0}, {2, 2}};
  Model m = fold_model(f, 1, 4, 4);
  Tensor x = Tensor::zeros({DType::f32, {1, 4, 4}});
  x.as<float>()[0] = HUGE_VALF;  // the first tap of the first block
  const std::vector<float> y = run32(import(m, "y").graph, {x});
  CHECK(std::isinf(y[0]));
  for (std::size_t i = 1; i < 9; ++i) CHECK(y[i] == 0);
  CHECK(mentions(refusal(fold_model(f, 1, 4, 5)), {"Col2Im", "does not fit"}));
  CHECK(mentions(refusal(fold_model({{1, 1}, {2, 2}, {1, 1}, {1, 1}, {0, 0, 0, 0}, {}}, 1, 4, 1)),
                 {"Col2Im", "does not fit into"}));
}

TEST_CASE("Attention of grouped heads, with and without mask, causal from the first key on") {
  for (const bool causal : {false, true})
    for (const bool masked : {false, true})
      for (const std::int64_t keys : {4, 7}) check_attention(keys, causal, masked);
}

TEST_CASE("Attention counts the past: what it gives for the last query is what the whole sequence gives") {
  Model m = model(23);
  add_input(m, "q", {"1", "1", "8"});
  add_input(m, "k", {"1", "1", "8"});
  add_input(m, "v", {"1", "1", "8"});
  add_input(m, "past_k", {"1", "2", "3", "4"});
  add_input(m, "past_v", {"1", "2", "3", "4"});
  auto& node = add_node(m, "Attention", {"q", "k", "v", "", "past_k", "past_v"}, "y");
  node.add_output("present_k");
  set_int(node, "q_num_heads", 2);
  set_int(node, "kv_num_heads", 2);
  set_int(node, "is_causal", 1);
  m.mutable_graph()->add_output()->set_name("present_k");
  const auto result = import(m, "y");
  const Tensor q = random_floats({1, 1, 8}, 1), k = random_floats({1, 1, 8}, 2), v = random_floats({1, 1, 8}, 3);
  const Tensor past_k = random_floats({1, 2, 3, 4}, 4), past_v = random_floats({1, 2, 3, 4}, 5);
  const auto out = evaluate(result.graph, {q, k, v, past_k, past_v}, Arithmetic::fp64);
  REQUIRE(out[0].type.shape == Shape{1, 2, 4, 4});  // present_k
  for (std::int64_t h = 0; h < 2; ++h) {
    double sum = 0;
    std::vector<double> want(4, 0);
    for (std::int64_t j = 0; j < 4; ++j) {
      double score = 0;
      for (std::int64_t d = 0; d < 4; ++d) {
        const double key = j < 3 ? at(past_k, {0, h, j, d}) : at(k, {0, 0, h * 4 + d});
        CHECK(at(out[0], {0, h, j, d}) == key);
        score += at(q, {0, 0, h * 4 + d}) * key / 2;
      }
      sum += std::exp(score);
      for (std::int64_t e = 0; e < 4; ++e)
        want[static_cast<std::size_t>(e)] +=
            std::exp(score) * (j < 3 ? at(past_v, {0, h, j, e}) : at(v, {0, 0, h * 4 + e}));
    }
    for (std::int64_t e = 0; e < 4; ++e)
      CHECK(at(out[1], {0, 0, h * 4 + e}) == doctest::Approx(want[static_cast<std::size_t>(e)] / sum).epsilon(1e-6));
  }
}

TEST_CASE(
    "RotaryEmbedding turns each pair by the angle of its position, as halves or as neighbours, and leaves the rest") {
  for (const bool interleaved : {false, true}) {
    Model m = model(23);
    add_input(m, "x", {"2", "3", "4", "8"});
    add_input(m, "cos", {"10", "3"});
    add_input(m, "sin", {"10", "3"});
    add_input(m, "positions", {"2", "4"}, ::onnx::TensorProto::INT64);
    auto& node = add_node(m, "RotaryEmbedding", {"x", "cos", "sin", "positions"}, "y");
    set_int(node, "interleaved", interleaved ? 1 : 0);
    set_int(node, "rotary_embedding_dim", 6);
    const auto result = import(m, "y");
    const Tensor x = random_floats({2, 3, 4, 8}, 1), cosine = random_floats({10, 3}, 2),
                 sine = random_floats({10, 3}, 3);
    const Tensor positions = tensor<std::int64_t>(DType::i64, {2, 4}, {0, 1, 2, 3, 9, 8, 7, 6});
    const Tensor y = evaluate(result.graph, {x, cosine, sine, positions}, Arithmetic::fp64)[0];
    for (std::int64_t b = 0; b < 2; ++b) for (std::int64_t h = 0; h < 3; ++h) for (std::int64_t s = 0; s < 4; ++s) {
      const auto position = static_cast<std::int64_t>(at(positions, {b, s}));
      for (std::int64_t p = 0; p < 3; ++p) {
        const std::int64_t first = interleaved ? 2 * p : p, second = interleaved ? 2 * p + 1 : p + 3;
        const double a = at(x, {b, h, s, first}), c = at(x, {b, h, s, second});
        const double cos = at(cosine, {position, p}), sin = at(sine, {position, p});
        REQUIRE(at(y, {b, h, s, first}) == doctest::Approx(a * cos - c * sin).epsilon(1e-12));
        REQUIRE(at(y, {b, h, s, second}) == doctest::Approx(a * sin + c * cos).epsilon(1e-12));
      }
      for (std::int64_t d = 6; d < 8; ++d) REQUIRE(at(y, {b, h, s, d}) == at(x, {b, h, s, d}));
    }
  }
}

TEST_CASE("GroupNormalization and RMSNormalization divide by the root of their own rows") {
  Model g = model(21);
  add_input(g, "x", {"2", "6", "5"});
  add_input(g, "s", {"6"});
  add_input(g, "b", {"6"});
  set_int(add_node(g, "GroupNormalization", {"x", "s", "b"}, "y"), "num_groups", 2);
  const Tensor x = random_floats({2, 6, 5}, 1, 3), s = random_floats({6}, 2), b = random_floats({6}, 3);
  const Tensor y = evaluate(import(g, "y").graph, {x, s, b}, Arithmetic::fp64)[0];
  for (std::int64_t n = 0; n < 2; ++n) for (std::int64_t c = 0; c < 6; ++c) {
    double mean = 0, square = 0;
    for (std::int64_t k = c / 3 * 3; k < c / 3 * 3 + 3; ++k)
      for (std::int64_t i = 0; i < 5; ++i) mean += at(x, {n, k, i}) / 15;
    for (std::int64_t k = c / 3 * 3; k < c / 3 * 3 + 3; ++k)
      for (std::int64_t i = 0; i < 5; ++i) square += std::pow(at(x, {n, k, i}) - mean, 2) / 15;
    for (std::int64_t i = 0; i < 5; ++i)
      REQUIRE(at(y, {n, c, i}) ==
              doctest::Approx((at(x, {n, c, i}) - mean) / std::sqrt(square + 1e-5) * at(s, {c}) + at(b, {c}))
                  .epsilon(1e-6));
  }
  Model r = model(23);
  add_input(r, "x", {"2", "6", "5"});
  add_input(r, "w", {"6", "5"});
  set_int(add_node(r, "RMSNormalization", {"x", "w"}, "y"), "axis", 1);
  const Tensor w = random_floats({6, 5}, 4);
  const Tensor z = evaluate(import(r, "y").graph, {x, w}, Arithmetic::fp64)[0];
  for (std::int64_t n = 0; n < 2; ++n) {
    double square = 0;
    for (std::int64_t c = 0; c < 6; ++c)
      for (std::int64_t i = 0; i < 5; ++i) square += std::pow(at(x, {n, c, i}), 2) / 30;
    for (std::int64_t c = 0; c < 6; ++c) for (std::int64_t i = 0; i < 5; ++i)
        REQUIRE(at(z, {n, c, i}) ==
                doctest::Approx(at(x, {n, c, i}) / std::sqrt(square + 1e-5) * at(w, {c, i})).epsilon(1e-6));
  }
}

TEST_CASE("a cast to an 8-bit float rounds to it in the model's arithmetic, and saturates") {
  Model m = model(19);
  add_input(m, "x", {"4"});
  set_int(add_node(m, "Cast", {"x"}, "narrow"), "to", 17);  // FLOAT8E4M3FN
  set_int(add_node(m, "Cast", {"narrow"}, "y"), "to", ::onnx::TensorProto::FLOAT);
  CHECK(run32(import(m, "y").graph, {floats({4}, {17, 1000, -0.0015f, 3.3f})}) ==
        std::vector<float>{16, 448, -0.001953125f, 3.25f});
  Model sum = model(19);
  add_input(sum, "x", {"4"}, 17);
  add_node(sum, "Add", {"x", "x"}, "y");
  CHECK(mentions(refusal(sum), {"/y (Add)", "8-bit float"}));
}
