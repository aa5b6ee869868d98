#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {

LowerFunction find_operator(const std::string& domain, const std::string& type) {
  static const auto table = [] {
    std::unordered_map<std::string, LowerFunction> rows;
    for (const auto& family : {math_operators(), activation_operators(), shape_operators(), tensor_operators(),
                               reduce_operators(), product_operators(), normalisation_operators(),
                               convolution_operators(), pool_operators(), order_operators(), index_operators(),
                               loss_operators(), quantise_operators(), recurrent_operators(),
                               resize_operators(), einsum_operators(), attention_operators(), grid_operators(),
                               fold_operators()})
      for (const OperatorRow& row : family) rows.emplace(row.type, row.lower);
    return rows;
  }();
  const bool standard = domain.empty() || domain == "ai.onnx";
  // ONNX Runtime's own Gelu is the exact form, with the same signature.
  if (!standard && !(domain == "com.microsoft" && type == "Gelu")) return nullptr;
  const auto row = table.find(type);
  return row == table.end() ? nullptr : row->second;
}

}  // namespace kiln::graph::onnx
