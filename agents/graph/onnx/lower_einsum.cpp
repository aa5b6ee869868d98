// Einsum: operands are brought together from left to right, each pair as a product over the labels that both have and
// nothing later needs.
#include <algorithm>
#include <cctype>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Labels =
    std::string;  // one character per dimension; those of an ellipsis are upper-case from 'A' on, outermost first

// A value whose dimensions are named, each name once.
struct Term {
  ValueId value;
  Labels labels;
};

bool has(const Labels& labels, char label) { return labels.find(label) != Labels::npos; }

// "ij...k" for a value of `rank` dimensions; the ellipsis takes what the letters leave.
Labels expand_ellipsis(const std::string& text, std::size_t rank, std::size_t widest) {
  const std::size_t at = text.find("...");
  Labels letters;
  for (const char c : text)
    if (c != '.') letters += c;
  if (at == std::string::npos) {
    if (letters.size() != rank)
      malformed("its term '" + text + "' has another number of labels than its operand has dimensions");
    return letters;
  }
  if (letters.size() > rank || rank - letters.size() > 26)
    malformed("its term '" + text + "' has more labels than its operand has dimensions");
  const std::size_t count = rank - letters.size();
  Labels middle;
  for (std::size_t i = 0; i < count; ++i) middle += static_cast<char>('A' + (widest - count + i));
  return letters.substr(0, at) + middle + letters.substr(at);
}

void check_term(const std::string& text) {
  std::size_t dots = 0;
  for (const char c : text) {
    dots += c == '.' ? 1 : 0;
    if (c != '.' && !std::islower(static_cast<unsigned char>(c)))
      refuse("its equation has a label that is not one of a to z");
  }
  if (dots != 0 && (dots != 3 || text.find("...") == std::string::npos))
    malformed("its equation has an ellipsis that is not three dots");
}

struct Equation {
  std::vector<std::string> terms;
  std::string output;
  bool explicit_output;
};

Equation parse(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
  Equation out{{}, {}, false};
  if (const std::size_t arrow = text.find("->"); arrow != std::string::npos) {
    out.explicit_output = true;
    out.output = text.substr(arrow + 2);
    text.resize(arrow);
    check_term(out.output);
  }
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    out.terms.push_back(text.substr(begin, end - begin));
    check_term(out.terms.back());
    begin = end + 1;
  }
  return out;
}

// A label that stands twice in one term is a diagonal: the two dimensions of n become one, at a step of n + 1.
Term without_repeats(const Call& call, Term term) {
  for (std::size_t a = 0; a < term.labels.size(); ++a) {
    const std::size_t b = term.labels.find(term.labels[a], a + 1);
    if (b == Labels::npos) continue;
    std::vector<std::int32_t> order;
    for (std::size_t d = 0; d < term.labels.size(); ++d)
      if (d != a && d != b) order.push_back(static_cast<std::int32_t>(d));
    order.push_back(static_cast<std::int32_t>(a));
    order.push_back(static_cast<std::int32_t>(b));
    const ValueId moved = call.transpose(term.value, order);
    Shape shape = call.type(moved).shape;
    const std::int64_t n = shape.back();
    if (shape[shape.size() - 2] != n) malformed("a label stands for two extents");
    shape.pop_back();
    shape.back() = n * n;
    const ValueId flat = call.reshape(moved, shape);
    shape.back() = n;
    Slice diagonal{Shape(shape.size(), 0), shape, std::vector<std::int64_t>(shape.size(), 1)};
    diagonal.steps.back() = n + 1;
    Labels labels;
    for (std::size_t i = 0; i + 2 < order.size(); ++i) labels += term.labels[static_cast<std::size_t>(order[i])];
    return without_repeats(call, {call.add(diagonal, {flat}), labels + term.labels[a]});
  }
  return term;
}

Term arranged(const Call& call, const Term& term, const Labels& order) {
  std::vector<std::int32_t> permutation;
  for (const char label : order) permutation.push_back(static_cast<std::int32_t>(term.labels.find(label)));
  return {call.transpose(term.value, permutation), order};
}

// Sums over the labels that `needed` lacks.
Term summed(const Call& call, const Term& term, const Labels& needed) {
  std::vector<std::int32_t> axes;
  Labels kept;
  for (std::size_t d = 0; d < term.labels.size(); ++d) {
    if (has(needed, term.labels[d])) {
      kept += term.labels[d];
    } else {
      axes.push_back(static_cast<std::int32_t>(d));
    }
  }
  return {call.reduce(Monoid::sum, term.value, axes, false), kept};
}

std::int64_t extent(const Call& call, const Term& term, char label) {
  return call.type(term.value).shape[term.labels.find(label)];
}

Shape extents(const Call& call, const Term& term, const Labels& labels) {
  Shape out;
  for (const char label : labels) out.push_back(extent(call, term, label));
  return out;
}

// An extent of one broadcasts; a sum over a label needs both sides whole.
Term widened(const Call& call, const Term& term, const Term& other, const Labels& labels) {
  Shape shape = call.type(term.value).shape;
  for (const char label : labels) {
    std::int64_t& own = shape[term.labels.find(label)];
    if (own == 1) own = extent(call, other, label);
  }
  return {call.expand(term.value, shape), term.labels};
}

// Both as [batch..., rows, sums] x [batch..., sums, columns].
Term product(const Call& call, Term a, Term b, const Labels& needed) {
  a = summed(call, a, needed + b.labels);
  b = summed(call, b, needed + a.labels);
  Labels batch, rows, columns, sums;
  for (const char label : a.labels) (!has(b.labels, label) ? rows : has(needed, label) ? batch : sums) += label;
  for (const char label : b.labels)
    if (!has(a.labels, label)) columns += label;
  a = arranged(call, widened(call, a, b, sums), batch + rows + sums);
  b = arranged(call, widened(call, b, a, sums), batch + sums + columns);
  const auto matrix = [&](const Term& term, const Labels& first, const Labels& second) {
    Shape shape = extents(call, term, batch);
    shape.push_back(element_count(extents(call, term, first)));
    shape.push_back(element_count(extents(call, term, second)));
    return call.reshape(term.value, shape);
  };
  const ValueId left = matrix(a, rows, sums), right = matrix(b, sums, columns);
  ValueId out = -1;
  if (sums.empty()) {
    out = call.apply(ExprOp::mul, left, right);
  } else {
    const ValueId sum = call.add(MatMul{false, false}, {left, right});
    out = call.cast(sum, call.type(left).dtype);  // sums of 8-bit integers are wider
  }
  Shape shape = call.type(out).shape;
  shape.resize(batch.size());
  for (const std::int64_t e : extents(call, a, rows)) shape.push_back(e);
  for (const std::int64_t e : extents(call, b, columns)) shape.push_back(e);
  return {call.reshape(out, shape), batch + rows + columns};
}

// Without an arrow: the ellipsis, then the labels that stand once, in the order of the alphabet.
Labels implicit_output(const Labels& all) {
  Labels out;
  for (char label = 'A'; label <= 'Z'; ++label)
    if (has(all, label)) out += label;
  for (char label = 'a'; label <= 'z'; ++label)
    if (std::count(all.begin(), all.end(), label) == 1) out += label;
  return out;
}

std::vector<ValueId> einsum(const Call& call) {
  const Equation equation = parse(call.get_text("equation", ""));
  if (equation.terms.size() != call.inputs.size())
    malformed("its equation has another number of terms than there are inputs");
  std::size_t widest = 0;
  for (std::size_t i = 0; i < equation.terms.size(); ++i) {
    const std::size_t rank = call.type(call.in(i)).shape.size(), letters = equation.terms[i].size();
    if (equation.terms[i].find("...") != std::string::npos && rank + 3 > letters)
      widest = std::max(widest, rank + 3 - letters);
  }
  if (widest > 26) refuse("its ellipsis stands for more than 26 dimensions");
  std::vector<Term> terms;
  Labels all;
  for (std::size_t i = 0; i < equation.terms.size(); ++i) {
    const Labels labels = expand_ellipsis(equation.terms[i], call.type(call.in(i)).shape.size(), widest);
    all += labels;
    terms.push_back(without_repeats(call, {call.in(i), labels}));
  }
  Labels output = equation.explicit_output ? Labels{} : implicit_output(all);
  if (equation.explicit_output) {
    std::size_t letters = 0;
    for (const char c : equation.output) letters += c != '.' ? 1 : 0;
    const bool dots = letters != equation.output.size();
    output = expand_ellipsis(equation.output, letters + (dots ? widest : 0), widest);
  }
  for (const char label : output)
    if (!has(all, label) || std::count(output.begin(), output.end(), label) > 1)
      malformed("its output has a label that no term has, or one twice");
  Term out = terms[0];
  for (std::size_t i = 1; i < terms.size(); ++i) {
    Labels needed = output;
    for (std::size_t later = i + 1; later < terms.size(); ++later) needed += terms[later].labels;
    out = product(call, out, terms[i], needed);
  }
  return {arranged(call, summed(call, out, output), output).value};
}

}  // namespace

std::vector<OperatorRow> einsum_operators() { return {{"Einsum", einsum}}; }

}  // namespace kiln::graph::onnx
