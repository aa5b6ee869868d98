// One test for each published attack on readers of ONNX (the project's security notes list them), by the file that it
// used. Not here, since Kiln has nothing to attack: archives of models that are unpacked (CVE-2024-5187) and models
// that are written back with their external data (CVE-2025-51480). Links in place of external data are kctl's to
// refuse, which opens the files: tests/kctl/model_test.cpp.
#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/base/error.h"
#include "tests/graph/onnx_models.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

using Entries = std::vector<std::pair<std::string, std::string>>;

Model with_external(const Entries& entries) {
  Model m = model();
  add_input(m, "x", {"2"});
  set_external(add_floats(m, "w", {2}, 8), entries);
  add_node(m, "Add", {"x", "w"}, "y");
  return m;
}

// What import asks its caller for, none of which is there.
struct Asked {
  std::vector<std::string> locations;
  graph::onnx::ExternalDataSource source() {
    return [this](const std::string& location) {
      locations.push_back(location);
      return graph::onnx::ExternalData{};
    };
  }
};

std::string length_delimited(int field, const std::string& content) {
  std::string out(1, static_cast<char>(field << 3 | 2));
  for (std::size_t n = content.size(); ; n >>= 7) {
    out += static_cast<char>((n & 127) | (n > 127 ? 128 : 0));
    if (n <= 127) break;
  }
  return out + content;
}

}  // namespace

TEST_CASE("CVE-2022-25882: external data above the model's folder is never asked for") {
  for (const char* location : {"../../etc/passwd", "..", "../w.bin"}) {
    Asked asked;
    CHECK(refusal(with_external({{"location", location}}), "y", asked.source()).code == ErrorCode::invalid_input);
    CHECK(asked.locations.empty());
  }
}

TEST_CASE("CVE-2024-27318: dots behind a folder do not lead out of it either") {
  for (const char* location : {"sub/../../x", "sub/..", "a/b/../../../x", "./../x"}) {
    Asked asked;
    CHECK(refusal(with_external({{"location", location}}), "y", asked.source()).code == ErrorCode::invalid_input);
    CHECK(asked.locations.empty());
  }
}

TEST_CASE("CVE-2026-27489: an absolute path is never asked for") {
  for (const char* location : {"/etc/passwd", "//host/share", "\\\\host\\share", "C:\\w.bin"}) {
    Asked asked;
    CHECK(refusal(with_external({{"location", location}}), "y", asked.source()).code == ErrorCode::invalid_input);
    CHECK(asked.locations.empty());
  }
}

TEST_CASE(
    "CVE-2026-34445: an unknown or repeated key of external data is refused, a claimed length allocates nothing") {
  CHECK(mentions(refusal(with_external({{"location", "w.bin"}, {"__class__", "x"}})), {"'w'", "'__class__'"}));
  CHECK(mentions(refusal(with_external({{"location", "w.bin"}, {"basepath", "/etc"}})), {"'basepath'"}));
  CHECK(mentions(refusal(with_external({{"location", "w.bin"}, {"location", "../x"}})), {"'location' twice"}));
  const auto file = std::make_shared<const std::vector<float>>(std::vector<float>{1, 2});
  const graph::onnx::ExternalDataSource source = [&](const std::string&) {
    return graph::onnx::ExternalData{file, std::as_bytes(std::span(*file))};
  };
  for (const char* length : {"18446744073709551615", "1099511627776", "-1", "0x8", ""}) {
    Model m = with_external({{"location", "w.bin"}, {"length", length}});
    if (*length == '\0') {
      CHECK_NOTHROW((void)import(m, "y", {}, source));  // absent, in effect
    } else {
      CHECK(refusal(m, "y", source).code == ErrorCode::invalid_input);
    }
  }
}

TEST_CASE(
    "onnxruntime PR 27430: a model of bytes alone has no folder, so that its external data is missing, not guessed") {
  const auto r = refusal(with_external({{"location", "w.bin"}}));
  CHECK(r.code == ErrorCode::not_found);
  CHECK(mentions(r, {"w.bin"}));
}

TEST_CASE("onnxruntime PR 28709: a marker of an address in memory is a file name like any other") {
  Asked asked;
  CHECK(refusal(with_external({{"location", "*/_ORT_MEM_ADDR_/*"}, {"offset", "140737488355328"}}), "y", asked.source())
            .code == ErrorCode::not_found);
  CHECK(asked.locations == std::vector<std::string>{"*/_ORT_MEM_ADDR_/*"});
}

TEST_CASE("onnxruntime PR 28725: the list of locations and the import refuse the same ones") {
  for (const char* location : {"../x", "/x", "a//b", "a\\b", ""}) {
    const std::string text = with_external({{"location", location}}).SerializeAsString();
    CHECK_THROWS_AS((void)graph::onnx::external_locations(std::as_bytes(std::span(text.data(), text.size())), "m.onnx"),
                    Error);
    CHECK(refusal(with_external({{"location", location}})).code == ErrorCode::invalid_input);
  }
}

TEST_CASE("sparse tensors are refused wherever they stand") {
  Model initializer = model();
  initializer.mutable_graph()->add_sparse_initializer()->add_dims(INT64_MAX);
  CHECK(refusal(initializer).code == ErrorCode::unsupported);
  Model attribute = model();
  auto* value = add_node(attribute, "Constant", {}, "y").add_attribute();
  value->set_name("sparse_value");
  value->set_type(::onnx::AttributeProto::SPARSE_TENSOR);
  value->mutable_sparse_tensor()->add_dims(INT64_MAX);
  CHECK(mentions(refusal(attribute), {"/y (Constant)", "sparse"}));
}

TEST_CASE("an offset past the file, or whose sum with the length overflows, reads nothing") {
  const auto file = std::make_shared<const std::vector<float>>(std::vector<float>{1, 2, 3});
  const graph::onnx::ExternalDataSource source = [&](const std::string&) {
    return graph::onnx::ExternalData{file, std::as_bytes(std::span(*file))};
  };
  for (const char* offset : {"8", "12", "13", "18446744073709551608", "9223372036854775807"})
    CHECK(refusal(with_external({{"location", "w.bin"}, {"offset", offset}}), "y", source).code ==
          ErrorCode::invalid_input);
  CHECK_NOTHROW(
      (void)import(*std::make_unique<Model>(with_external({{"location", "w.bin"}, {"offset", "4"}})), "y", {}, source));
}

TEST_CASE("raw data of another size than the shape, and shapes whose product overflows, are refused") {
  const auto with = [](const std::vector<std::int64_t>& dims, std::size_t bytes) {
    Model m = model();
    add_floats(m, "w", dims, bytes);
    add_node(m, "Exp", {"w"}, "y");
    return refusal(m).code;
  };
  CHECK(with({4}, 15) == ErrorCode::invalid_input);
  CHECK(with({4}, 0) == ErrorCode::invalid_input);
  CHECK(with({std::int64_t(1) << 32, std::int64_t(1) << 32}, 0) == ErrorCode::limit);
  CHECK(with({INT64_MAX, 2, 0}, 0) == ErrorCode::limit);  // empty, with extents that no product can hold
}

TEST_CASE("conditionals nested in each other are refused at the first, so that their number costs nothing") {
  Model m = model();
  add_input(m, "x", {"1"});
  ::onnx::GraphProto inner;
  for (int depth = 0; depth < 20; ++depth) {
    ::onnx::GraphProto outer;
    auto* node = outer.add_node();
    node->set_op_type("If");
    for (const char* branch : {"then_branch", "else_branch"}) {
      auto* attribute = node->add_attribute();
      attribute->set_name(branch);
      attribute->set_type(::onnx::AttributeProto::GRAPH);
      if (depth < 10) *attribute->mutable_g() = inner;
    }
    inner = std::move(outer);
  }
  auto* attribute = add_node(m, "If", {"x"}, "y").add_attribute();
  attribute->set_name("then_branch");
  attribute->set_type(::onnx::AttributeProto::GRAPH);
  *attribute->mutable_g() = inner;
  CHECK(mentions(refusal(m), {"/y (If)", "subgraph"}));
}

TEST_CASE("CVE-2024-7254, CVE-2025-4565: groups and messages nested to any depth are refused without a deep stack") {
  const graph::onnx::Options options{"deep.onnx", {}};
  std::string groups(100'000, static_cast<char>(200 << 3 | 3));  // start of an unknown group, again and again
  CHECK_THROWS_AS((void)import_text(groups, options), Error);
  std::string closed;
  for (int i = 0; i < 50'000; ++i) closed += "\xc3\x0c";  // field 200, start
  for (int i = 0; i < 50'000; ++i) closed += "\xc4\x0c";  // field 200, end
  CHECK_THROWS_AS((void)import_text(closed, options), Error);
  // ModelProto.graph (7), GraphProto.node (1), NodeProto.attribute (5), AttributeProto.g (6), and again.
  std::string nested;
  for (int depth = 0; depth < 3'000; ++depth)
    nested = length_delimited(1, length_delimited(5, length_delimited(6, nested)));
  CHECK_THROWS_AS((void)import_text(length_delimited(7, nested), options), Error);
}

TEST_CASE("CVE-2022-1941: the items of a message set, empty and many, are refused like any other bytes") {
  std::string items;
  for (int i = 0; i < 200'000; ++i) items += "\x0b\x0c";  // item 1 of a message set, start and end
  CHECK_THROWS_AS((void)import_text(items, graph::onnx::Options{"items.onnx", {}}), Error);
  CHECK_THROWS_AS((void)import_text(length_delimited(7, items), graph::onnx::Options{"items.onnx", {}}), Error);
}

TEST_CASE("types and attributes are checked before they are used as what they claim") {
  Model type = model();
  add_floats(type, "w", {2}, 8).set_data_type(9999);
  add_node(type, "Exp", {"w"}, "y");
  CHECK(refusal(type).code == ErrorCode::unsupported);
  Model attribute = model();
  add_input(attribute, "x", {"2", "2"});
  auto* axis = add_node(attribute, "Softmax", {"x"}, "y").add_attribute();
  axis->set_name("axis");
  axis->set_type(::onnx::AttributeProto::FLOAT);
  axis->set_i(1);
  CHECK(mentions(refusal(attribute), {"'axis'", "another type"}));
}

TEST_CASE("a few bytes cannot ask for tables of any size") {
  const auto ask = [](const char* op, const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& constants,
                      const std::vector<std::string>& inputs, const std::vector<std::string>& dims) {
    Model m = model();
    add_input(m, "x", dims);
    for (const auto& [name, values] : constants) {
      auto* tensor = m.mutable_graph()->add_initializer();
      tensor->set_name(name);
      tensor->set_data_type(::onnx::TensorProto::INT64);
      if (values.size() != 1) tensor->add_dims(static_cast<std::int64_t>(values.size()));
      for (const std::int64_t value : values) tensor->add_int64_data(value);
    }
    add_node(m, op, inputs, "y");
    return refusal(m);
  };
  const std::int64_t huge = std::int64_t(1) << 39;
  CHECK(ask("Range", {{"a", {0}}, {"b", {huge}}, {"c", {1}}}, {"a", "b", "c"}, {"1"}).code == ErrorCode::unsupported);
  CHECK(ask("Tile", {{"r", {huge, huge}}}, {"x", "r"}, {"4", "4"}).code != ErrorCode::internal);
  CHECK(ask("Hardmax", {}, {"x"}, {"1", std::to_string(huge)}).code == ErrorCode::unsupported);
  CHECK(ask("EyeLike", {}, {"x"}, {"1048576", "1048576"}).code == ErrorCode::unsupported);
  CHECK(ask("Trilu", {}, {"x"}, {"1048576", "1048576"}).code == ErrorCode::unsupported);
  CHECK(ask("Resize", {{"sizes", {huge}}}, {"x", "", "", "sizes"}, {"4"}).code == ErrorCode::invalid_input);
  CHECK(ask("Pad", {{"pads", {0, INT32_MAX}}}, {"x", "pads"}, {"4"}).code != ErrorCode::internal);
}
