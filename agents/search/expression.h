// Template expressions (constraints, geometry, cost): muParser, compiled once and evaluated many times.
//
// Beyond muParser's own operators: `a % b` (floating remainder, as fmod), ceil(x) and floor(x). Assignment, several
// results and names that are neither figure nor tunable are refused, so that a misspelt constraint cannot pass
// silently. Thread rule: an Expression is used by one thread at a time.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace kiln::agents {

class Expression {
 public:
  // Figures are folded as constants; names in `slots` are read from `values[i]` at each evaluation, so `values` must
  // outlive the expression and keep its address. Throws Error(invalid_input) naming the expression and the cause.
  Expression(const std::string& text, const std::map<std::string, double>& figures,
             const std::vector<std::string>& slots, std::vector<double>& values);
  ~Expression();
  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;

  // A finite number, or Error(invalid_input): a division by zero is a defect of the template, not a large value.
  [[nodiscard]] double value() const;
  // Index of the last slot that it reads, -1 when it reads none: it can be decided once those before are bound.
  [[nodiscard]] int last_slot() const { return last_slot_; }

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
  std::string text_;
  int last_slot_ = -1;
};

}  // namespace kiln::agents
