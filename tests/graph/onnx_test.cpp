#include <doctest/doctest.h>

#include <cstring>

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "tests/graph/onnx_models.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

std::string block() { return read_file(KILN_SOURCE_DIR "/tests/models/block.onnx"); }

}  // namespace

TEST_CASE("the bundled block imports with attention, GELU and layer normalisation, for two batches") {
  for (const std::int64_t batch : {1, 8}) {
    const auto result = import_text(block(), {"block.onnx", {{"batch", batch}}});
    CHECK(result.graph.type(result.graph.outputs[0]).shape == Shape{batch, 64, 128});
    std::map<std::string, int> kinds;
    for (const Node& node : result.graph.nodes) ++kinds[std::string(kind_name(node.op))];
    CHECK(kinds["attention"] == 1);
    CHECK(kinds["layer_norm"] == 2);
    CHECK(kinds["matmul"] == 6);
    CHECK(kinds["softmax"] == 0);
    CHECK(kinds["gather"] == 0);  // shape arithmetic is gone
    CHECK_NOTHROW(validate(result.graph));
  }
}

TEST_CASE("a model cut at any byte is refused, and so is one with any byte flipped, or it is a valid graph") {
  const std::string whole = block();
  const auto attempt = [&](const std::string& text) {
    try {
      validate(import_text(text, {"cut.onnx", {{"batch", 1}}}).graph);
      return true;
    } catch (const Error& error) {
      CHECK(error.code() != ErrorCode::internal);
      return false;
    }
  };
  for (std::size_t n = 0; n < whole.size(); n += n < 4096 ? 1 : 4099) REQUIRE_FALSE(attempt(whole.substr(0, n)));
  for (std::size_t n = 1; n <= 64; ++n) REQUIRE_FALSE(attempt(whole.substr(0, whole.size() - n)));
  for (std::size_t i = 0; i < 1024; i += 3) {
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x41);
    (void)attempt(flipped);
  }
}

TEST_CASE("an unknown operator is refused with its name, node, file and operator set") {
  Model m = model();
  add_input(m, "x", {"2"});
  add_node(m, "FancyNorm", {"x"}, "y");
  const auto r = refusal(m);
  CHECK(r.code == ErrorCode::unsupported);
  CHECK(mentions(r, {"FancyNorm", "/y", "m.onnx", "17"}));
}

TEST_CASE("a subgraph, a function, sparse data and a foreign operator set are refused") {
  Model m = model();
  add_input(m, "x", {"2"});
  auto* branch = add_node(m, "If", {"x"}, "y").add_attribute();
  branch->set_name("then_branch");
  branch->set_type(::onnx::AttributeProto::GRAPH);
  branch->mutable_g()->set_name("then");
  CHECK(mentions(refusal(m), {"/y (If)", "subgraph"}));
  Model f = model();
  f.add_functions()->set_name("local");
  CHECK(mentions(refusal(f), {"local"}));
  Model s = model();
  (void)s.mutable_graph()->add_sparse_initializer();
  CHECK(mentions(refusal(s), {"sparse"}));
  CHECK(refusal(model(5)).code == ErrorCode::unsupported);
  CHECK(refusal(model(27)).code == ErrorCode::unsupported);
}

TEST_CASE("an unbound dimension is refused, naming it, its input and the option") {
  Model m = model();
  add_input(m, "x", {"batch", "4"});
  add_node(m, "Exp", {"x"}, "y");
  const auto r = refusal(m);
  CHECK(r.code == ErrorCode::invalid_input);
  CHECK(mentions(r, {"'batch'", "'x'", "--shape batch=EXTENT"}));
  CHECK(import(m, "y", {{"batch", 3}}).graph.type(0).shape == Shape{3, 4});
  Model other = model();
  add_input(other, "x", {"", "4"});
  add_node(other, "Exp", {"x"}, "y");
  CHECK(mentions(refusal(other), {"--shape x.0=EXTENT"}));
  Model unknown = model();
  add_input(unknown, "x", {"2"});
  add_node(unknown, "Exp", {"x"}, "y");
  CHECK_THROWS_WITH_AS((void)import(unknown, "y", {{"sequence", 3}}), doctest::Contains("'sequence'"), Error);
}

TEST_CASE("sizes that do not agree, or overflow, are refused") {
  const auto with = [](const std::vector<std::int64_t>& dims, std::size_t bytes) {
    Model m = model();
    add_floats(m, "w", dims, bytes);
    add_node(m, "Exp", {"w"}, "y");
    return refusal(m);
  };
  CHECK(mentions(with({2, 2}, 15), {"'w'", "15 bytes"}));
  CHECK(with({2, 2}, 17).code == ErrorCode::invalid_input);
  CHECK(with({-1}, 4).code == ErrorCode::invalid_input);
  CHECK(with({std::int64_t(1) << 33, std::int64_t(1) << 33}, 4).code == ErrorCode::limit);
  CHECK(with({std::int64_t(1) << 62, 4}, 0).code == ErrorCode::limit);
  CHECK(with(std::vector<std::int64_t>(17, 1), 4).code == ErrorCode::limit);
}

TEST_CASE("what nests too deep is refused") {
  Model m = model();
  add_input(m, "x", {"2"});
  auto* attribute = add_node(m, "If", {"x"}, "y").add_attribute();
  for (int depth = 0; depth < 60; ++depth) attribute = attribute->mutable_g()->add_node()->add_attribute();
  CHECK(refusal(m).code == ErrorCode::invalid_input);
}

TEST_CASE("external data: only inside the folder, only inside the file") {
  const auto file = std::make_shared<const std::vector<float>>(std::vector<float>{1, 2, 3, 4});
  std::vector<std::string> asked;
  const graph::onnx::ExternalDataSource source = [&](const std::string& location) {
    asked.push_back(location);
    return location == "w.bin" ? graph::onnx::ExternalData{file, std::as_bytes(std::span(*file))}
                               : graph::onnx::ExternalData{};
  };
  const auto with = [](const std::vector<std::pair<std::string, std::string>>& entries) {
    Model m = model();
    add_input(m, "x", {"2"});
    set_external(add_floats(m, "w", {2}, 8), entries);
    add_node(m, "Add", {"x", "w"}, "y");
    return m;
  };
  for (const char* bad : {"/etc/passwd", "../w.bin", "a/../w.bin", "a//w.bin", "a\\w.bin", "", "a/", "..", "/"}) {
    asked.clear();
    CHECK(refusal(with({{"location", bad}}), "y", source).code == ErrorCode::invalid_input);
    CHECK(asked.empty());
  }
  CHECK(mentions(refusal(with({{"location", "lost.bin"}}), "y", source), {"lost.bin", "'w'"}));
  CHECK(refusal(with({{"location", "lost.bin"}}), "y", source).code == ErrorCode::not_found);
  CHECK(refusal(with({{"location", "w.bin"}, {"offset", "12"}}), "y", source).code == ErrorCode::invalid_input);
  CHECK(refusal(with({{"location", "w.bin"}, {"offset", "18446744073709551615"}}), "y", source).code ==
        ErrorCode::invalid_input);
  CHECK(refusal(with({{"location", "w.bin"}, {"offset", "-4"}}), "y", source).code == ErrorCode::invalid_input);
  CHECK(refusal(with({{"location", "w.bin"}, {"length", "12"}}), "y", source).code == ErrorCode::invalid_input);
  for (const char* offset : {"8", "4"}) {  // the second is copied, for its alignment
    Model m = with({{"location", "w.bin"}, {"offset", offset}, {"length", "8"}});
    const auto result = import(m, "y", {}, source);
    const float first = offset[0] == '8' ? 3 : 2;
    CHECK(run32(result.graph, {floats({2}, {10, 20})}) == std::vector<float>{10 + first, 21 + first});
  }
  const std::string text = with({{"location", "w.bin"}}).SerializeAsString();
  CHECK(graph::onnx::external_locations(std::as_bytes(std::span(text.data(), text.size())), "m.onnx") ==
        std::vector<std::string>{"w.bin"});
}

TEST_CASE("a value made twice, read before it is made, or never made is refused") {
  Model twice = model();
  add_input(twice, "x", {"2"});
  add_node(twice, "Exp", {"x"}, "y");
  add_node(twice, "Log", {"x"}, "y");
  CHECK(mentions(refusal(twice), {"'y' is made twice"}));
  Model early = model();
  add_node(early, "Exp", {"z"}, "y");
  CHECK(mentions(refusal(early), {"/y (Exp)", "'z'"}));
  CHECK(mentions(refusal(model()), {"'y' is never made"}));
}

TEST_CASE("outputs that are an input, a constant or one value twice get values of their own") {
  Model m = model();
  add_input(m, "x", {"2"});
  add_floats(m, "w", {2}, 8);
  add_node(m, "Identity", {"x"}, "same");
  add_node(m, "Exp", {"x"}, "e");
  add_node(m, "Identity", {"e"}, "e2");
  for (const char* name : {"same", "w", "e"}) m.mutable_graph()->add_output()->set_name(name);
  const auto result = import(m, "e2");
  std::vector<std::string> names;
  for (const ValueId id : result.graph.outputs) names.push_back(result.graph.values[static_cast<std::size_t>(id)].name);
  CHECK(names == std::vector<std::string>{"same", "w", "e", "e2"});
  CHECK(run32(result.graph, {floats({2}, {5, 6})}) == std::vector<float>{5, 6});
}

TEST_CASE("weights are shared with the parsed model, not copied") {
  Model m = model();
  add_input(m, "x", {"1", "64"});
  add_floats(m, "w", {64, 64}, 64 * 64 * 4);
  add_node(m, "MatMul", {"x", "w"}, "y");
  const auto result = import(m, "y");
  const auto copy = result.graph;  // a copy of the graph shares them too
  for (std::size_t i = 0; i < copy.constants.size(); ++i)
    if (copy.constants[i]) CHECK(copy.constants[i]->bytes.data() == result.graph.constants[i]->bytes.data());
}

TEST_CASE("parts of the file are announced as read, in order and once, and the graph is the same without them") {
  Model m = model();
  add_input(m, "x", {"1", "2048"});
  auto& w = add_floats(m, "w", {2048, 2048}, 0);
  std::string raw(2048 * 2048 * 4, '\0');
  for (std::size_t i = 0; i < raw.size(); i += 4) raw[i] = static_cast<char>(i >> 6);
  w.set_raw_data(raw);
  add_node(m, "MatMul", {"x", "w"}, "y");
  m.mutable_graph()->add_output()->set_name("y");
  auto file = std::make_shared<std::string>(m.SerializeAsString());
  std::size_t read = 0;
  graph::onnx::Options options{"m.onnx", {}};
  options.part_read = [&](std::span<const std::byte> part) {
    CHECK(reinterpret_cast<const char*>(part.data()) == file->data() + read);
    std::fill_n(file->data() + read, part.size(), '?');  // nobody reads it again
    read += part.size();
  };
  const auto result = graph::onnx::import_model(file, std::as_bytes(std::span(*file)), options, {});
  CHECK(read > raw.size() / 2);
  for (const auto& constant : result.graph.constants)
    if (constant) CHECK(std::memcmp(constant->bytes.data(), raw.data(), raw.size()) == 0);
}

TEST_CASE("softmax before operator set 13 normalises the flattened trailing dimensions") {
  Model m = model(11);
  add_input(m, "x", {"2", "2", "2"});
  add_node(m, "Softmax", {"x"}, "y");
  const auto y = run64(import(m, "y").graph, {Tensor::zeros({DType::f32, {2, 2, 2}})});
  for (const double value : y) CHECK(value == 0.25);
}
