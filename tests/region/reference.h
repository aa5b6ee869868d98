// A reference executor of kernels: loops over the iteration space, follows the accesses, and evaluates the scalar
// expression in double. It knows nothing of views or of how lower() works, so that a wrong stride shows as a wrong
// value.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "agents/region/kernel.h"

namespace kiln::agents::reference {

using Values = std::vector<double>;

struct Memory {
  std::vector<Values> inputs, outputs;
  std::vector<std::vector<int>> written;  // how often, per output element
};

using Index = std::vector<std::int64_t>;

// Calls f with every index of `space`, last dimension fastest.
template <class F>
void for_each(const graph::Shape& space, F f) {
  Index index(space.size(), 0);
  for (std::int64_t i = 0; i < graph::element_count(space); ++i) {
    f(index);
    for (std::size_t d = space.size(); d-- > 0;) {
      if (++index[d] < space[d]) break;
      index[d] = 0;
    }
  }
}

inline std::size_t address(const Access& a, const Index& index) {
  REQUIRE(a.strides.size() == index.size());
  std::int64_t at = a.offset;
  for (std::size_t d = 0; d < index.size(); ++d) at += a.strides[d] * index[d];
  REQUIRE(at >= 0);
  return static_cast<std::size_t>(at);
}

inline double load(const Memory& m, const Access& a, const Index& index) {
  const Values& v = m.inputs.at(static_cast<std::size_t>(a.buffer));
  REQUIRE(address(a, index) < v.size());
  return v[address(a, index)];
}

inline void store(Memory& m, const Access& a, const Index& index, double value) {
  const auto b = static_cast<std::size_t>(a.buffer);
  const std::size_t at = address(a, index);
  REQUIRE(at < m.outputs.at(b).size());
  m.outputs[b][at] = value;
  ++m.written[b][at];
}

inline double apply(const graph::ExprNode& n, double a, double b, double c) {
  using Op = graph::ExprOp;
  switch (n.op) {
    case Op::constant: return graph::is_integer(n.type) ? static_cast<double>(n.integer) : n.value;
    case Op::cast: return n.type == graph::DType::boolean ? (a != 0 ? 1 : 0) : a;
    case Op::neg: return -a;
    case Op::abs: return std::fabs(a);
    case Op::sqrt: return std::sqrt(a);
    case Op::rsqrt: return 1 / std::sqrt(a);
    case Op::reciprocal: return 1 / a;
    case Op::exp: return std::exp(a);
    case Op::log: return std::log(a);
    case Op::tanh: return std::tanh(a);
    case Op::erf: return std::erf(a);
    case Op::sigmoid: return 1 / (1 + std::exp(-a));
    case Op::add: return a + b;
    case Op::sub: return a - b;
    case Op::mul: return a * b;
    case Op::div: return a / b;
    case Op::min: return std::min(a, b);
    case Op::max: return std::max(a, b);
    case Op::less: return a < b ? 1 : 0;
    case Op::select: return a != 0 ? b : c;
    default: FAIL("operation not used in these tests: " << std::string(graph::name(n.op))); return 0;
  }
}

// All nodes along a row of `length`; operands gives operand i at position p.
template <class Operand>
std::vector<Values> evaluate(const graph::Expr& e, std::int64_t length, Operand operand) {
  const auto n = static_cast<std::size_t>(length);
  std::vector<Values> values;
  for (const graph::ExprNode& node : e.nodes) {
    Values v(n, 0);
    if (graph::is_row_reduction(node.op)) {
      const Values& x = values.at(static_cast<std::size_t>(node.args[0]));
      double total = x[0];
      for (std::size_t p = 1; p < n; ++p) {
        if (node.op == graph::ExprOp::row_sum) total += x[p];
        if (node.op == graph::ExprOp::row_prod) total *= x[p];
        if (node.op == graph::ExprOp::row_max) total = std::max(total, x[p]);
        if (node.op == graph::ExprOp::row_min) total = std::min(total, x[p]);
      }
      std::fill(v.begin(), v.end(), total);
    } else {
      for (std::size_t p = 0; p < n; ++p) {
        const auto arg = [&](int i) {
          return node.args[static_cast<std::size_t>(i)] < 0
                     ? 0
                     : values.at(static_cast<std::size_t>(node.args[static_cast<std::size_t>(i)]))[p];
        };
        v[p] = node.op == graph::ExprOp::operand ? operand(node.operand, static_cast<std::int64_t>(p))
                                                 : apply(node, arg(0), arg(1), arg(2));
      }
    }
    values.push_back(std::move(v));
  }
  return values;
}

inline Index with(Index index, std::initializer_list<std::int64_t> more) {
  index.insert(index.end(), more);
  return index;
}

// One point: operand 0 is `first` when the family computes it, the rest are reads.
inline void finish(Memory& m, const graph::Expr& e, const std::vector<Access>& reads, const std::vector<Access>& writes,
                   const Index& at, const double* first) {
  const auto values = evaluate(e, 1, [&](std::int32_t operand, std::int64_t) {
    if (first && operand == 0) return *first;
    return load(m, reads.at(static_cast<std::size_t>(operand - (first ? 1 : 0))), at);
  });
  for (std::size_t r = 0; r < writes.size(); ++r)
    store(m, writes[r], at, values.at(static_cast<std::size_t>(e.results[r]))[0]);
}

struct Run {
  Memory& m;

  void operator()(const PointwiseKernel& k) const {
    for_each(k.space, [&](const Index& i) { finish(m, k.expr, k.reads, k.writes, i, nullptr); });
  }

  void operator()(const RowKernel& k) const {
    REQUIRE(k.write_per_row.size() == k.writes.size());
    const graph::Shape along = k.along.empty() ? graph::Shape{k.length} : k.along;
    REQUIRE(graph::element_count(along) == k.length);
    std::vector<Index> places;
    for_each(along, [&](const Index& p) { places.push_back(p); });
    const auto at = [&](Index o, std::int64_t p) {
      const Index& place = places.at(static_cast<std::size_t>(p));
      o.insert(o.end(), place.begin(), place.end());
      return o;
    };
    for_each(k.outer, [&](const Index& o) {
      const auto values = evaluate(k.expr, k.length, [&](std::int32_t operand, std::int64_t p) {
        return load(m, k.reads.at(static_cast<std::size_t>(operand)), at(o, p));
      });
      for (std::size_t r = 0; r < k.writes.size(); ++r) {
        const Values& row = values.at(static_cast<std::size_t>(k.expr.results[r]));
        if (k.write_per_row[r])
          REQUIRE(std::all_of(row.begin(), row.end(), [&](double x) { return x == row[0] || std::isnan(x); }));
        for (std::int64_t p = 0; p < (k.write_per_row[r] ? 1 : k.length); ++p)
          store(m, k.writes[r], at(o, p), row[static_cast<std::size_t>(p)]);
      }
    });
  }

  void operator()(const MatmulKernel& k) const {
    Values observed;  // row by row
    for_each(k.batch, [&](const Index& b) {
      for (std::int64_t i = 0; i < k.m; ++i)
        for (std::int64_t j = 0; j < k.n; ++j) {
          double sum = 0;
          for (std::int64_t p = 0; p < k.k; ++p) sum += load(m, k.a, with(b, {i, p})) * load(m, k.b, with(b, {p, j}));
          finish(m, k.epilogue, k.reads, k.writes, with(b, {i, j}), &sum);
          if (k.statistics)
            observed.push_back(node_at(k.epilogue, k.statistics->element, k.reads, with(b, {i, j}), sum));
        }
    });
    if (k.statistics) of_rows(*k.statistics, std::move(observed));
  }

  double node_at(const graph::Expr& e, std::int32_t node, const std::vector<Access>& reads, const Index& at,
                 double first) const {
    return evaluate(e, 1, [&](std::int32_t operand, std::int64_t) {
      return operand == 0 ? first : load(m, reads.at(static_cast<std::size_t>(operand - 1)), at);
    }).at(static_cast<std::size_t>(node))[0];
  }

  // The rows read what was observed as one more input.
  void of_rows(const Statistics& statistics, Values observed) const {
    RowKernel rows = statistics.rows;
    Access& read = rows.reads.at(static_cast<std::size_t>(statistics.observed));
    REQUIRE(read.buffer == -1);
    read.buffer = static_cast<std::int32_t>(m.inputs.size());
    m.inputs.push_back(std::move(observed));
    (*this)(rows);
    m.inputs.pop_back();
  }

  void operator()(const AttentionKernel& k) const {
    for_each(k.batch, [&](const Index& b) {
      for (std::int64_t i = 0; i < k.s; ++i) {
        Values scores;
        for (std::int64_t j = 0; j < k.t; ++j) {
          double sum = 0;
          for (std::int64_t p = 0; p < k.d; ++p) sum += load(m, k.q, with(b, {i, p})) * load(m, k.k, with(b, {j, p}));
          sum = sum * k.scale + (k.mask ? load(m, *k.mask, with(b, {i, j})) : 0);
          scores.push_back(k.causal && j > i + (k.t - k.s) ? -std::numeric_limits<double>::infinity() : sum);
        }
        const double most = *std::max_element(scores.begin(), scores.end());
        double total = 0;
        for (double& s : scores) total += s = std::exp(s - most);
        for (std::int64_t c = 0; c < k.e; ++c) {
          double out = 0;
          for (std::int64_t j = 0; j < k.t; ++j) {
            const double weight = scores[static_cast<std::size_t>(j)] / total;
            out += (k.guarded && std::isnan(weight) ? 0 : weight) * load(m, k.v, with(b, {j, c}));
          }
          store(m, k.out, with(b, {i, c}), out);
        }
      }
    });
  }

  void operator()(const GatherKernel& k) const {
    for_each({k.outer, k.index_count, k.inner}, [&](const Index& i) {
      auto at = static_cast<std::int64_t>(load(m, k.indices, {i[1]}));
      if (at < 0) at += k.axis;
      REQUIRE((at >= 0 && at < k.axis));
      const double value = load(m, k.data, {i[0], at, i[2]});
      finish(m, k.epilogue, k.reads, k.writes, i, &value);
    });
  }

  // A source's access counts from its own beginning along the axis.
  // The families that slide, scan or run over time are held to the oracle by what their templates compute
  // (tests/writer/windows_test.cpp, lines_test.cpp).
  void operator()(const auto&) const { FAIL("no reference for this family"); }
  void operator()(const ConcatKernel& k) const {
    const auto axis = static_cast<std::size_t>(k.axis);
    for_each(k.space, [&](const Index& i) {
      int covered = 0;
      for (const ConcatKernel::Source& s : k.sources) {
        if (i[axis] < s.begin || i[axis] >= s.begin + s.extent) continue;
        Index local = i;
        local[axis] -= s.begin;
        store(m, k.write, i, load(m, s.access, local));
        ++covered;
      }
      REQUIRE(covered == 1);
    });
  }
};

}  // namespace kiln::agents::reference
