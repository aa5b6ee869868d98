#include "agents/graph/serialize.h"

#include <doctest/doctest.h>

#include "runtime/base/digest.h"
#include "runtime/base/json.h"
#include "tests/graph/build.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

// One node of every kind that moves a window or goes along a dimension in order.
Graph windows_and_order() {
  Graph g;
  g.name = "windows and order";
  const ValueId image = g.add_input("image", {DType::f32, {1, 4, 20}});
  const auto keep = [&](std::vector<ValueId> made) {
    g.outputs.insert(g.outputs.end(), made.begin(), made.end());
    return made[0];
  };
  const Steps steps{{2}, {3}, {1}, {0}};
  const ValueId kernel = g.add_constant("kernel", random_floats({6, 2, 2}, 3));
  const ValueId lengths = g.add_constant("lengths", tensor<std::int64_t>(DType::i64, {2}, {3, 2}));
  ValueId y = keep(g.add_node(Convolution{steps, 2, false, {0}}, {image, kernel}, "convolution"));
  y = keep(g.add_node(Convolution{steps, 2, true, {1}}, {y, g.add_constant("back", random_floats({6, 2, 2}, 4))},
                      "transposed"));
  y = keep(g.add_node(Window{Monoid::max, {2}, {{2}, {1}, {0}, {1}}, {9}, false, true}, {image}, "window"));
  y = keep(g.add_node(Pad{{0, 0, 2}, {0, 0, 1}}, {y, g.add_constant("edge", floats({}, {-1}))}, "pad"));
  y = keep(g.add_node(Scan{Monoid::prod, 2, true, true}, {y}, "scan"));
  (void)keep(g.add_node(Arg{false, 2, false, true}, {y}, "arg"));
  y = keep(g.add_node(TopK{2, 3, true}, {y}, "topk"));
  const ValueId rows = g.add_node(Reshape{{12}}, {y}, "rows")[0];
  const ValueId at = g.add_constant("at", tensor<std::int64_t>(DType::i64, {2}, {-1, 3}));
  (void)keep(g.add_node(Scatter{Combine::mul}, {rows, at, g.add_constant("updates", floats({2}, {2, 5}))}, "scatter"));
  Expr tanh;
  tanh.results = {tanh.apply(ExprOp::tanh, tanh.operand(0, DType::f32))};
  const ValueId x = g.add_constant("gates", random_floats({3, 2, 8}, 5)),
                r = g.add_constant("r", random_floats({8, 2}, 6));
  const ValueId bias = g.add_constant("bias", random_floats({8}, 7)),
                state = g.add_constant("state", random_floats({2, 2}, 8));
  const ValueId peepholes = g.add_constant("peepholes", random_floats({6}, 9));
  (void)keep(g.add_node(Recurrent{Cell::lstm, true, false, true, 0.5, {tanh, tanh, tanh}},
                        {x, r, bias, state, lengths, state, peepholes}, "lstm"));
  return g;
}

// One node of every other kind.
Graph every_kind() {
  Graph g;
  g.name = "every kind";
  const ValueId x = g.add_input("x", {DType::f32, {2, 4, 8}});
  const ValueId ids = g.add_input("ids", {DType::i64, {3}});
  const ValueId scale = g.add_constant("scale", random_floats({8}, 1));
  const ValueId twin = g.add_constant("twin", random_floats({8}, 1));
  const ValueId weight = g.add_constant("weight", random_floats({8, 8}, 2));
  ValueId y = g.add_node(LayerNorm{2, 1e-5}, {x, scale, twin}, "norm")[0];
  y = g.add_node(MatMul{false, true}, {y, weight}, "matmul")[0];
  Expr e;
  const auto a = e.operand(0, DType::f32);
  e.results = {e.apply(ExprOp::select, e.apply(ExprOp::less, a, e.constant(-INFINITY, DType::f32)),
                       e.constant(0.1, DType::f32), a)};
  y = g.add_node(Pointwise{e}, {y}, "select")[0];
  y = g.add_node(Attention{0.125, true}, {y, y, y}, "attention")[0];
  y = g.add_node(Softmax{1, true}, {y}, "softmax")[0];
  y = g.add_node(Concat{0}, {y, x}, "concat")[0];
  y = g.add_node(Gather{1}, {y, ids}, "gather")[0];
  y = g.add_node(Transpose{{2, 0, 1}}, {y}, "transpose")[0];
  y = g.add_node(Slice{{7, 0, 0}, {4, 4, 3}, {-2, 1, 1}}, {y}, "slice")[0];
  y = g.add_node(Reshape{{16, 3}}, {y}, "reshape")[0];
  y = g.add_node(Reduce{Monoid::mean, {1}, true}, {y}, "mean")[0];
  g.outputs = g.add_node(Expand{{16, 5}}, {y}, "expand");
  return g;
}

struct Stored {
  json::object text;
  std::shared_ptr<const std::string> blob;
};

Stored store(const Graph& g) {
  return {to_json(g), std::make_shared<const std::string>(constant_blob(g, layout_constants(g)))};
}

Graph load(const json::value& text, const std::shared_ptr<const std::string>& blob) {
  return graph_from_json(text, blob, std::as_bytes(std::span(blob->data(), blob->size())));
}

}  // namespace

TEST_CASE("a graph comes back as it was, and computes the same bytes") {
  const auto check = [](const Graph& g, const std::vector<Tensor>& inputs) {
    const Stored stored = store(g);
    const std::string text = json::canonical(stored.text);
    const Graph back = load(json::parse(text, "graph"), stored.blob);
    CHECK(json::canonical(to_json(back)) == text);
    const auto before = evaluate(g, inputs, Arithmetic::model), after = evaluate(back, inputs, Arithmetic::model);
    REQUIRE(after.size() == before.size());
    for (std::size_t i = 0; i < after.size(); ++i) CHECK(after[i].bytes == before[i].bytes);
  };
  check(every_kind(), {random_floats({2, 4, 8}, 5), tensor<std::int64_t>(DType::i64, {3}, {0, 3, 1})});
  check(windows_and_order(), {random_floats({1, 4, 20}, 5)});
}

TEST_CASE("constants are aligned, in order, and equal bytes are stored once") {
  const Graph g = every_kind();
  const ConstantLayout layout = layout_constants(g);
  CHECK(layout.offsets[2] == 0);
  CHECK(layout.offsets[3] == 0);
  CHECK(layout.offsets[4] == 64);
  CHECK(layout.offsets[0] == -1);
  CHECK(layout.total_bytes == 64 + 256);
}

TEST_CASE("the digest of constants is their blob's, which is not made for it") {
  const auto check = [](const Graph& g) {
    const ConstantLayout layout = layout_constants(g);
    CHECK(constants_digest(g, layout) == sha256_hex(constant_blob(g, layout)));
  };
  check(every_kind());  // one of them twice
  check(windows_and_order());
  Graph one;
  (void)one.add_constant("w", random_floats({3, 5}, 1));
  check(one);
  (void)one.add_constant("none", random_floats({0}, 1));
  (void)one.add_constant("again", random_floats({3, 5}, 1));
  check(one);
  (void)one.add_constant("byte", tensor<std::int8_t>(DType::i8, {1}, {7}));
  check(one);
}

TEST_CASE("text cut at every byte is refused") {
  for (const Graph& g : {every_kind(), windows_and_order()}) {
    const Stored stored = store(g);
    const std::string text = json::canonical(stored.text);
    for (std::size_t n = 0; n < text.size(); n += 7)
      CHECK_THROWS_AS((void)load(json::parse(text.substr(0, n), "cut"), stored.blob), Error);
  }
}

TEST_CASE("any changed digit is refused or still a valid graph") {
  const Stored stored = store(every_kind());
  const std::string text = json::canonical(stored.text);
  int refused = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] < '0' || text[i] > '9') continue;
    std::string other = text;
    other[i] = text[i] == '9' ? '1' : '9';
    try {
      const Graph g = load(json::parse(other, "flipped"), stored.blob);
      CHECK_NOTHROW(validate(g));
    } catch (const Error& error) {
      CHECK(error.code() != ErrorCode::internal);
      ++refused;
    }
  }
  CHECK(refused > 50);
}

TEST_CASE("hostile members are refused") {
  const Stored stored = store(every_kind());
  const auto with = [&](const char* from, const char* to) {
    std::string text = json::canonical(stored.text);
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, std::string(from).size(), to);
    return json::parse(text, "hostile");
  };
  CHECK_THROWS_AS((void)load(with("\"constant\":64", "\"constant\":9223372036854775776"), stored.blob), Error);
  CHECK_THROWS_AS((void)load(with("\"constant\":64", "\"constant\":-64"), stored.blob), Error);
  CHECK_THROWS_AS((void)load(with("\"constant\":64", "\"constant\":128"), stored.blob), Error);
  CHECK_THROWS_AS((void)load(with("\"constant\":64", "\"constant\":1"), stored.blob), Error);
  CHECK_THROWS_AS((void)load(with("\"shape\":[8,8]", "\"shape\":[1099511627776,1099511627776]"), stored.blob), Error);
  CHECK_THROWS_AS((void)load(with("\"shape\":[8,8]", "\"shape\":[-8,8]"), stored.blob), Error);
  CHECK_THROWS_AS((void)load(with("kiln-graph/1", "kiln-graph/2"), stored.blob), Error);
  CHECK_THROWS_AS((void)load(with("\"inputs\":[0,1]", "\"inputs\":[0,4294967297]"), stored.blob), Error);
  CHECK_THROWS_AS((void)load(with("\"op\":\"select\"", "\"op\":\"add\""), stored.blob), Error);
}

TEST_CASE("an expression keeps infinities, NaN and 64-bit integers") {
  Expr e;
  const auto x = e.operand(0, DType::f64);
  e.results = {
      e.apply(ExprOp::add, e.apply(ExprOp::max, x, e.constant(-INFINITY, DType::f64)), e.constant(0.1, DType::f64)),
      e.integer(INT64_MIN, DType::i64), e.apply(ExprOp::row_sum, x)};
  CHECK(expr_from_json(json::parse(json::canonical(to_json(e)), "expr")) == e);
}
