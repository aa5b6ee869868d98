// ONNX models written node by node, and what import says of those that it refuses.
#pragma once

#include <doctest/doctest.h>
#include <onnx/onnx_pb.h>

#include <map>
#include <memory>
#include <string>

#include "agents/graph/onnx/import.h"
#include "runtime/base/error.h"
#include "tests/graph/build.h"

namespace kiln::graph::test {

using Model = ::onnx::ModelProto;

inline Model model(std::int64_t opset = 17) {
  Model m;
  m.set_ir_version(8);
  m.add_opset_import()->set_version(opset);
  m.mutable_graph()->set_name("test");
  return m;
}

inline void add_input(Model& m, const std::string& name, const std::vector<std::string>& dimensions,
                      int type = ::onnx::TensorProto::FLOAT) {
  auto* input = m.mutable_graph()->add_input();
  input->set_name(name);
  auto* tensor = input->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(type);
  tensor->mutable_shape();
  for (const auto& text : dimensions) {
    auto* dimension = tensor->mutable_shape()->add_dim();
    if (!text.empty() && text.find_first_not_of("0123456789-") == std::string::npos) {
      dimension->set_dim_value(std::stoll(text));
    } else if (!text.empty()) {
      dimension->set_dim_param(text);
    }
  }
}

inline ::onnx::NodeProto& add_node(Model& m, const std::string& type, const std::vector<std::string>& inputs,
                                   const std::string& output) {
  auto* node = m.mutable_graph()->add_node();
  node->set_op_type(type);
  node->set_name("/" + output);
  for (const auto& input : inputs) node->add_input(input);
  node->add_output(output);
  return *node;
}

inline ::onnx::TensorProto& add_floats(Model& m, const std::string& name, const std::vector<std::int64_t>& dims,
                                       std::size_t bytes) {
  auto* tensor = m.mutable_graph()->add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(::onnx::TensorProto::FLOAT);
  for (const std::int64_t extent : dims) tensor->add_dims(extent);
  tensor->set_raw_data(std::string(bytes, '\0'));
  return *tensor;
}

inline void set_external(::onnx::TensorProto& tensor, const std::vector<std::pair<std::string, std::string>>& entries) {
  tensor.clear_raw_data();
  tensor.set_data_location(::onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] : entries) {
    auto* entry = tensor.add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
}

inline graph::onnx::Result import_text(const std::string& text, const graph::onnx::Options& options,
                                       const graph::onnx::ExternalDataSource& external = {}) {
  const auto owner = std::make_shared<const std::string>(text);
  return graph::onnx::import_model(owner, std::as_bytes(std::span(owner->data(), owner->size())), options, external);
}

inline graph::onnx::Result import(Model& m, const std::string& output,
                                  std::map<std::string, std::int64_t> dimensions = {},
                                  const graph::onnx::ExternalDataSource& external = {}) {
  m.mutable_graph()->add_output()->set_name(output);
  return import_text(m.SerializeAsString(), {"m.onnx", std::move(dimensions)}, external);
}

struct Refusal {
  ErrorCode code;
  std::string text;
};

inline Refusal refusal(Model m, const std::string& output = "y", const graph::onnx::ExternalDataSource& external = {}) {
  try {
    (void)import(m, output, {}, external);
  } catch (const Error& error) {
    return {error.code(), std::string(error.what()) + "; " + error.remedy()};
  }
  FAIL("the model was imported");
  return {ErrorCode::internal, ""};
}

inline bool mentions(const Refusal& r, const std::vector<std::string>& words) {
  for (const auto& word : words) {
    if (r.text.find(word) != std::string::npos) continue;
    MESSAGE(r.text);
    return false;
  }
  return true;
}

}  // namespace kiln::graph::test
