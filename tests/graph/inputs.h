// Values for the inputs of a graph.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "agents/graph/interpreter.h"

namespace kiln::graph::test {

// Multiples of 1/1024 from -reach up to reach, the same for a seed; integers of its domain where an input has one.
inline std::vector<Tensor> inputs_for(const Graph& g, std::uint64_t seed, std::uint64_t reach = 1) {
  std::mt19937_64 random(seed);
  const auto domains = input_domains(g);
  std::vector<Tensor> out;
  for (std::size_t i = 0; i < g.inputs.size(); ++i) {
    Tensor t = Tensor::zeros(g.type(g.inputs[i]));
    for (std::int64_t e = 0; e < t.count(); ++e) {
      double value = static_cast<double>(random() % (2048 * reach)) / 1024 - static_cast<double>(reach);
      if (domains[i])
        value = static_cast<double>(
            domains[i]->low +
            static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(domains[i]->high - domains[i]->low + 1)));
      store_double(t.type.dtype, t.bytes.data(), e, value);
    }
    out.push_back(std::move(t));
  }
  return out;
}

}  // namespace kiln::graph::test
