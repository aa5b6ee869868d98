#include "agents/search/expression.h"

#include <muParser.h>

#include <algorithm>
#include <cmath>

#include "agents/search/search.h"
#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

// Longer than any constraint that a person would review.
constexpr std::size_t kLongestExpression = 4096;

double ceil_of(double x) { return std::ceil(x); }
double floor_of(double x) { return std::floor(x); }
double remainder_of(double a, double b) { return std::fmod(a, b); }

[[noreturn]] void fail(const std::string& text, const std::string& cause) {
  throw Error(ErrorCode::invalid_input, "cannot evaluate expression '" + text + "': " + cause,
              "correct the expression in template.toml; docs/template-format.md lists the names it may use");
}

// muParser would take `mr = 8` as an assignment to the tunable.
bool assigns(const std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '=') continue;
    if (i + 1 < text.size() && text[i + 1] == '=') {
      ++i;
      continue;
    }
    if (i == 0 || std::string("<>!").find(text[i - 1]) == std::string::npos) return true;
  }
  return false;
}

// Gives `mu` the text and the operators that templates may use; the names in it are still undefined.
void set_text(mu::Parser& mu, const std::string& text) {
  if (text.size() > kLongestExpression)
    fail(text.substr(0, 40) + "...", "it has more than " + std::to_string(kLongestExpression) + " characters");
  if (assigns(text)) fail(text, "a single '=' assigns; write '==' to compare");
  mu.DefineInfixOprt("!", +[](double x) { return x == 0 ? 1.0 : 0.0; });
  mu.DefineFun("ceil", ceil_of);
  mu.DefineFun("floor", floor_of);
  mu.DefineOprtChars("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-*^/?<>=#!$%&|~'_");
  mu.DefineOprt("%", remainder_of, mu::prMUL_DIV, mu::oaLEFT);
  mu.SetExpr(text);
}

// Parses for good: what is wrong with the text shows here, not at the first row.
void parse(mu::Parser& mu, const std::string& text) {
  (void)mu.Eval();
  if (mu.GetNumResults() != 1) fail(text, "it has several results");
}

[[noreturn]] void fail_on_name(const std::string& text, const std::string& name) {
  fail(text, "'" + name + "' is neither a tunable nor a figure of this region");
}

double finite(const std::string& text, double result) {
  if (!std::isfinite(result)) fail(text, "its value is not a finite number");
  return result;
}

}  // namespace

struct Expression::Parser {
  mu::Parser mu;
};

Expression::Expression(const std::string& text, const std::map<std::string, double>& figures,
                       const std::vector<std::string>& slots, std::vector<double>& values)
    : parser_(std::make_unique<Parser>()), text_(text) {
  try {
    mu::Parser& mu = parser_->mu;
    set_text(mu, text);
    const auto used = mu.GetUsedVar();
    for (const auto& [name, unused] : used) {
      (void)unused;
      const auto slot = std::find(slots.begin(), slots.end(), name);
      if (slot != slots.end()) {
        const auto index = slot - slots.begin();
        mu.DefineVar(name, &values[static_cast<std::size_t>(index)]);
        last_slot_ = std::max(last_slot_, static_cast<int>(index));
      } else if (const auto figure = figures.find(name); figure != figures.end()) {
        mu.DefineConst(name, figure->second);
      } else {
        fail_on_name(text, name);
      }
    }
    parse(mu, text);
  } catch (const mu::ParserError& error) {
    fail(text, error.GetMsg());
  }
}

Expression::~Expression() = default;
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;

double Expression::value() const {
  try {
    return finite(text_, parser_->mu.Eval());
  } catch (const mu::ParserError& error) {
    fail(text_, error.GetMsg());
  }
}

namespace {

// A text parsed once, every name a variable. The texts are those of the corpus, so a thread keeps few.
struct Parsed {
  mu::Parser mu;
  std::map<std::string, double> variables;  // muParser keeps their addresses
};

Parsed& parsed(const std::string& text) {
  thread_local std::map<std::string, std::unique_ptr<Parsed>> kept;
  std::unique_ptr<Parsed>& entry = kept[text];
  if (entry) return *entry;
  auto fresh = std::make_unique<Parsed>();
  set_text(fresh->mu, text);
  const auto used = fresh->mu.GetUsedVar();
  for (const auto& [name, unused] : used) {
    (void)unused;
    fresh->mu.DefineVar(name, &(fresh->variables[name] = 1));
  }
  parse(fresh->mu, text);
  entry = std::move(fresh);
  return *entry;
}

}  // namespace

double evaluate(const std::string& expression, const Figures& figures,
                const std::map<std::string, std::int64_t>& tunables) {
  try {
    Parsed& once = parsed(expression);
    for (auto& [name, value] : once.variables) {
      const auto tunable = tunables.find(name);
      const auto figure = figures.find(name);
      if (tunable != tunables.end()) {
        value = static_cast<double>(tunable->second);
      } else if (figure != figures.end()) {
        value = figure->second;
      } else {
        fail_on_name(expression, name);
      }
    }
    return finite(expression, once.mu.Eval());
  } catch (const mu::ParserError& error) {
    fail(expression, error.GetMsg());
  }
}

}  // namespace kiln::agents
