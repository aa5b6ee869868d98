// A row's expression cut into passes over the row: a reduction belongs to the first pass at which everything it reads
// is known; the last pass writes. Shared by the row families of every target.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agents/region/kernel.h"

namespace kiln::agents::writer {

[[nodiscard]] inline std::size_t index(std::int32_t i) { return static_cast<std::size_t>(i); }

// Names of the arguments of `node`, each given by `name`.
template <class Name>
[[nodiscard]] std::vector<std::string> argument_names(const graph::ExprNode& node, Name name) {
  std::vector<std::string> out;
  for (int a = 0; a < graph::arity(node.op); ++a) out.push_back(name(node.args[index(a)]));
  return out;
}

struct Passes {
  // With `keep`, values that are dear to compute and needed by a later pass stay in at most two rows of scratch. With
  // `joint`, the sum of squares about a mean is taken in the pass of that mean.
  Passes(const RowKernel& kernel, bool keep, bool joint = false);

  const RowKernel& k;
  std::vector<bool> varies;     // per node: has one value per element of the row
  std::vector<int> level;       // per node: passes that must be complete before it can be computed
  int count = 1;                // passes, the writing one included
  std::vector<int> kept;        // per node: slot in the kept rows, or -1
  std::vector<int> kept_level;  // the pass that writes that slot
  int slots = 0;
  std::vector<std::int32_t> sum_of;  // per node: of a joint sum of squares, the sum that its mean is made of; else -1

  // Nodes whose value per element pass `p` asks for directly.
  [[nodiscard]] std::vector<std::int32_t> roots(int p) const;
  // Varying nodes that pass `p` computes or loads, stopping at rows kept by an earlier pass.
  [[nodiscard]] std::vector<bool> needed(int p) const;
  // The reductions that pass `p` computes.
  [[nodiscard]] std::vector<std::size_t> reductions(int p) const;
  // What is constant along the row and, once `level` passes are complete, can be computed; reductions excluded.
  [[nodiscard]] std::vector<std::size_t> row_values(int level) const;
  // "  f32 s3;\n" for every node that is constant along the row: the members of a row's struct Scalars.
  [[nodiscard]] std::string scalar_members(const std::function<std::string(graph::DType)>& type) const;
  // "writes the results": what pass `p` does.
  [[nodiscard]] std::string describe(int p) const;

 private:
  void choose_kept();
  [[nodiscard]] int effort(std::size_t i, int p) const;
  [[nodiscard]] std::int32_t sum_behind(const graph::ExprNode& squares) const;
};

}  // namespace kiln::agents::writer
