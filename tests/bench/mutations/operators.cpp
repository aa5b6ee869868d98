#include "tests/bench/mutations/operators.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include <fmt/format.h>

namespace kiln::mutation {
namespace {

enum class Kind { word, number, symbol };

struct Token {
  Kind kind;
  std::size_t begin, end;
  std::string text;
};

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

std::size_t line_end(const std::string& s, std::size_t at) { return std::min(s.find('\n', at), s.size()); }

std::vector<Token> tokens_of(const std::string& s) {
  static constexpr const char* kLong[] = {"<<=", ">>=", "...", "->", "++", "--", "<=", ">=", "==",
                                          "!=",  "&&",  "||",  "+=", "-=", "*=", "/=", "::"};
  std::vector<Token> out;
  const std::size_t region = s.find("// The region.");
  for (std::size_t i = region == std::string::npos ? 0 : region; i < s.size();) {
    if (std::isspace(static_cast<unsigned char>(s[i]))) {
      ++i;
    } else if (s[i] == '#' || s.compare(i, 2, "//") == 0) {
      i = line_end(s, i);
    } else if (s[i] == '"') {
      const std::size_t close = s.find('"', i + 1);
      i = close == std::string::npos ? s.size() : close + 1;
    } else if (std::isdigit(static_cast<unsigned char>(s[i]))) {
      std::size_t j = i + 1;
      const auto part = [&](std::size_t k) {
        return is_word(s[k]) || s[k] == '.' || s[k] == '\'' ||
               ((s[k] == '+' || s[k] == '-') && std::strchr("eEpP", s[k - 1]) != nullptr);
      };
      while (j < s.size() && part(j)) ++j;
      out.push_back({Kind::number, i, j, s.substr(i, j - i)});
      i = j;
    } else if (is_word(s[i])) {
      std::size_t j = i + 1;
      while (j < s.size() && is_word(s[j])) ++j;
      out.push_back({Kind::word, i, j, s.substr(i, j - i)});
      i = j;
    } else {
      std::size_t length = 1;
      for (const char* symbol : kLong)
        if (s.compare(i, std::strlen(symbol), symbol) == 0) {
          length = std::strlen(symbol);
          break;
        }
      out.push_back({Kind::symbol, i, i + length, s.substr(i, length)});
      i += length;
    }
  }
  return out;
}

class Finder {
 public:
  explicit Finder(const std::string& source) : s_(source), t_(tokens_of(source)) {
    for (const Token& t : t_)
      if (t.kind == Kind::word) words_.insert(t.text);
  }

  std::vector<Mutation> all() {
    for (std::size_t i = 0; i < t_.size(); ++i) {
      if (t_[i].kind == Kind::number)
        number(i);
      else if (t_[i].kind == Kind::word)
        word(i);
      else if (binary(i))
        infix(i);
      if (starts_statement(i)) statement(i);
    }
    std::stable_sort(out_.begin(), out_.end(),
                     [](const Mutation& a, const Mutation& b) { return a.name < b.name; });
    return std::move(out_);
  }

 private:
  void add(const char* name, std::size_t begin, std::size_t end, std::string text) {
    out_.push_back({name, begin, end, std::move(text)});
  }
  void replace(const char* name, const Token& t, std::string text) {
    add(name, t.begin, t.end, std::move(text));
  }

  bool is(std::size_t i, const char* text) const { return i < t_.size() && t_[i].text == text; }
  bool touches(std::size_t i) const { return i > 0 && i < t_.size() && t_[i - 1].end == t_[i].begin; }
  // An operator between blanks; a bracket of template arguments has none.
  bool binary(std::size_t i) const {
    return t_[i].kind == Kind::symbol && t_[i].begin > 0 && s_[t_[i].begin - 1] == ' ' &&
           t_[i].end < s_.size() && s_[t_[i].end] == ' ';
  }
  // Token after the bracket that closes the one at `i`; 0 when there is none.
  std::size_t after(std::size_t i) const {
    static const std::map<std::string, std::string> close = {{"(", ")"}, {"[", "]"}, {"{", "}"}, {"<", ">"}};
    const std::string open = t_[i].text, shut = close.at(open);
    int depth = 0;
    for (std::size_t j = i; j < t_.size(); ++j) {
      if (open == "<" && binary(j)) continue;
      if (t_[j].text == open) ++depth;
      if (t_[j].text == shut && --depth == 0) return j + 1;
    }
    return 0;
  }
  // Token after the operand that begins at `i`: a name or number with its calls, subscripts and members.
  std::size_t operand_end(std::size_t i) const {
    if (i >= t_.size()) return 0;
    std::size_t j = i;
    if (is(i, "(")) {
      j = after(i);
    } else if (t_[i].kind == Kind::symbol) {
      return 0;
    } else {
      ++j;
    }
    while (j != 0 && j < t_.size()) {
      if (is(j, "(") || is(j, "[") || (is(j, "<") && touches(j) && !binary(j)) || (is(j, "{") && touches(j)))
        j = after(j);
      else if (is(j, ".") || is(j, "->") || is(j, "::"))
        j += 2;
      else
        break;
    }
    return j;
  }

  void number(std::size_t i) {
    const std::string& text = t_[i].text;
    const bool real = text.find('.') != std::string::npos ||
                      (text.compare(0, 2, "0x") == 0 && text.find('p') != std::string::npos) ||
                      (text.find_first_of("eE") != std::string::npos && text.compare(0, 2, "0x") != 0);
    if (real) {
      const double value = std::strtod(text.c_str(), nullptr);
      const char* suffix = text.back() == 'f' ? "f" : "";
      if (value == 0) return replace("wrong constant", t_[i], std::string("1.0") + suffix);
      replace("wrong constant", t_[i], fmt::format("({} * 1.01{})", text, suffix));
      replace("wrong constant", t_[i], fmt::format("({} * 10{})", text, *suffix ? ".0f" : ".0"));
      return;
    }
    if (text.compare(0, 2, "0x") == 0) return;
    replace("off by one", t_[i], "(" + text + " + 1)");
    if (std::strtoll(text.c_str(), nullptr, 10) > 0) replace("off by one", t_[i], "(" + text + " - 1)");
  }

  void word(std::size_t i) {
    const std::string& text = t_[i].text;
    sibling(i);
    if (text == "if") condition(i);
    if (text == "index" && i > 1 && is(i - 1, "->") && is(i - 2, "task")) {
      add("wrong task", t_[i - 2].begin, t_[i].end, "(task->index + 1)");
      add("wrong task", t_[i - 2].begin, t_[i].end, "(task->index ^ 1)");
    }
    if (text == "vf" && is(i + 1, "{") && is(i + 2, "}") && touches(i + 1)) {
      add("uninitialised lane", t_[i].begin, t_[i + 2].end, "::kiln_mutation::stale<vf>()");
      add("wrong identity", t_[i].begin, t_[i + 2].end, "(vf{} + 1.0f)");
    }
    if (text == "__builtin_inff" && is(i + 1, "(") && i > 0 && is(i - 1, "-")) {
      add("wrong identity", t_[i - 1].begin, t_[i + 2].end, "0.0f");
      add("wrong identity", t_[i - 1].begin, t_[i + 2].end, "__builtin_inff()");
    }
    call(i);
  }

  void call(std::size_t i) {
    static const std::set<std::string> values = {"load",       "splat",  "divide_by", "vexp",
                                                 "exp_within", "across", "broadcast"};
    static const std::set<std::string> masks = {"keep_first", "larger", "smaller",  "min",
                                                "max",        "select", "weight_of"};
    const std::string& text = t_[i].text;
    if (i == 0 || !(is(i - 1, "=") || is(i - 1, "(") || is(i - 1, ",") || is(i - 1, "+") || is(i - 1, "-") ||
                    is(i - 1, "*") || is(i - 1, "/") || is(i - 1, "return") || is(i - 1, ":") ||
                    is(i - 1, "?") || is(i - 1, "+=") || is(i - 1, ";") || is(i - 1, "{") || is(i - 1, ")")))
      return;
    const std::size_t end = operand_end(i);
    if (end == 0 || end <= i + 1) return;
    const std::string whole = s_.substr(t_[i].begin, t_[end - 1].end - t_[i].begin);
    const bool tailed = is(i + 1, "<") && touches(i + 1);
    const std::size_t arguments = tailed ? after(i + 1) : i + 1;
    if (arguments == 0 || !is(arguments, "(") || after(arguments) != end) return;
    if (values.count(text)) {
      add("reduced precision", t_[i].begin, t_[end - 1].end, "::kiln_mutation::rounded<16>(" + whole + ")");
      add("reduced precision", t_[i].begin, t_[end - 1].end, "::kiln_mutation::rounded<13>(" + whole + ")");
    }
    if ((text == "load" || text == "store") && tailed)
      add("missing tail mask", t_[i + 1].begin, t_[arguments - 1].end, "");
    if (masks.count(text)) {
      add("missing mask", t_[i].begin, t_[arguments].begin, "::kiln_mutation::first");
    }
    if (text == "store")
      for (std::size_t j = end - 1, depth = 0; j > arguments; --j) {
        depth += is(j, ")") || is(j, "]") ? 1 : 0;
        depth -= is(j, "(") || is(j, "[") ? 1 : 0;
        if (depth != 1 || !is(j, ",")) continue;
        const std::string value = s_.substr(t_[j].end, t_[end - 1].begin - t_[j].end);
        add("reduced precision", t_[j].end, t_[end - 1].begin,
            " ::kiln_mutation::rounded<16>(" + value + ")");
        break;
      }
  }

  // Names that a hurried writer takes for one another, where the text has both.
  void sibling(std::size_t i) {
    static constexpr std::pair<const char*, const char*> pairs[] = {
        {"Row", "Column"},  {"Column", "Row"},  {"From", "To"},   {"To", "From"},
        {"Down", "Across"}, {"Across", "Down"}, {"Tall", "Short"}};
    static const std::map<std::string, std::string> whole = {
        {"kM", "kN"}, {"kN", "kM"},         {"kS", "kT"},         {"kT", "kS"},       {"kD", "kE"},
        {"kE", "kD"}, {"kRows", "kLength"}, {"kLength", "kRows"}, {"kInner", "kRows"}};
    const std::string& text = t_[i].text;
    const auto offer = [&](const std::string& other) {
      if (other != text && words_.count(other)) replace("swapped axis", t_[i], other);
    };
    if (const auto found = whole.find(text); found != whole.end()) offer(found->second);
    if (text.size() > 2 && text[0] == 'k' && std::isupper(static_cast<unsigned char>(text[1])))
      for (const auto& [from, to] : pairs)
        if (const std::size_t at = text.rfind(from); at != std::string::npos)
          offer(text.substr(0, at) + to + text.substr(at + std::strlen(from)));
    if (text.size() == 2 && std::islower(static_cast<unsigned char>(text[0])) &&
        std::isdigit(static_cast<unsigned char>(text[1])))
      offer({text[0], text[1] == '0' ? '1' : '0'});
  }

  void condition(std::size_t i) {
    const bool constant = is(i + 1, "constexpr");
    const std::size_t open = constant ? i + 2 : i + 1;
    if (!is(open, "(")) return;
    const std::size_t end = after(open);
    if (end == 0) return;
    const std::string inside = s_.substr(t_[open].end, t_[end - 1].begin - t_[open].end);
    const bool tail = inside.find('%') != std::string::npos;
    add(tail ? "dropped tail" : "dropped branch", t_[open].begin, t_[end - 1].end,
        "(false && (" + inside + "))");
  }

  // A comparison that picks the smaller or larger of two picks an equal one either way.
  bool selects(std::size_t i) const {
    while (i < t_.size() && !is(i, ";") && !is(i, "{") && !is(i, "?")) ++i;
    return is(i, "?");
  }

  void infix(std::size_t i) {
    static const std::map<std::string, std::vector<std::string>> others = {
        {"+", {"-"}},   {"-", {"+"}},   {"*", {"+"}},   {"/", {"*"}},  {"%", {"/"}},
        {"&&", {"||"}}, {"||", {"&&"}}, {"==", {"!="}}, {"!=", {"=="}}};
    static const std::map<std::string, std::string> bounds = {
        {"<", "<="}, {"<=", "<"}, {">", ">="}, {">=", ">"}};
    const Token& t = t_[i];
    if (const auto found = others.find(t.text); found != others.end())
      for (const std::string& other : found->second) replace("wrong operator", t, other);
    if (const auto found = bounds.find(t.text); found != bounds.end()) {
      if (!selects(i)) replace("< to <=", t, found->second);
      replace("off-by-one bound", t, "+ 1 " + t.text);
      replace("off-by-one bound", t, "- 1 " + t.text);
    }
    if (t.text == "+=" || t.text == "*=" || t.text == "-=") replace("lost accumulation", t, "=");
    if (t.text == "+" || t.text == "-" || t.text == "*" || t.text == "/") {
      const std::size_t end = operand_end(i + 1);
      const char* name = t.text == "*" || t.text == "/" ? "missing rescale" : "dropped term";
      if (end > i + 1) add(name, t.begin - 1, t_[end - 1].end, "");
    }
  }

  bool starts_statement(std::size_t i) const {
    return i > 0 && t_[i].kind == Kind::word &&
           (is(i - 1, ";") || is(i - 1, "{") || is(i - 1, "}") || is(i - 1, ")") || is(i - 1, "else"));
  }
  // A call or an assignment; a declaration has two words side by side.
  void statement(std::size_t i) {
    static const std::set<std::string> keywords = {"return",    "for",   "if",       "else",      "const",
                                                   "constexpr", "using", "template", "struct",    "inline",
                                                   "static",    "break", "extern",   "namespace", "void",
                                                   "float",     "int",   "do",       "while"};
    if (keywords.count(t_[i].text)) return;
    const std::size_t end = operand_end(i);
    if (end == 0 || end >= t_.size()) return;
    static const std::set<std::string> assigns = {"=", "+=", "-=", "*=", "/="};
    const bool call = is(end, ";") && is(end - 1, ")"), assignment = assigns.count(t_[end].text) > 0;
    if (!call && !assignment) return;
    std::size_t last = end;
    while (last < t_.size() && !is(last, ";")) ++last;
    if (last < t_.size()) add("deleted statement", t_[i].begin, t_[last].end, ";");
  }

  const std::string& s_;
  std::vector<Token> t_;
  std::set<std::string> words_;
  std::vector<Mutation> out_;
};

}  // namespace

std::vector<Mutation> mutations_of(const std::string& source) { return Finder(source).all(); }

std::vector<Mutation> with_code(const std::string& source, std::vector<Mutation> all,
                                const std::set<std::int64_t>& lines) {
  // A condition that is decided while compiling has no code, but what it guards has, on the same line or the
  // next.
  constexpr std::int64_t kReach = 1;
  std::erase_if(all, [&](const Mutation& m) {
    const std::size_t begin = source.rfind('\n', m.begin) + 1;
    const bool in_function =
        source[begin] == ' ' ||
        source.substr(begin, line_end(source, begin) - begin).find("inline ") != std::string::npos;
    if (!in_function) return false;
    const auto line = [&](std::size_t at) {
      return std::count(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(at), '\n') + 1;
    };
    const auto next = lines.lower_bound(line(m.begin));
    return next == lines.end() || *next > line(m.end) + kReach;
  });
  return all;
}

std::string mutated(const std::string& source, const Mutation& m) {
  return source.substr(0, m.begin) + m.text + source.substr(m.end);
}

std::string difference(const std::string& source, const Mutation& m) {
  const std::size_t begin = source.rfind('\n', m.begin) + 1, end = line_end(source, m.end);
  const auto line =
      std::count(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(m.begin), '\n') + 1;
  const std::string now = source.substr(begin, m.begin - begin) + m.text + source.substr(m.end, end - m.end);
  return fmt::format("line {}:\n  - {}\n  + {}", line, source.substr(begin, end - begin), now);
}

const char* support_source() {
  return R"(namespace kiln_mutation {
// The low `bits` of each float rounded away, to nearest: 16 leaves bfloat16, 13 leaves TF32.
template <int bits> inline float rounded(float x) {
  unsigned u;
  __builtin_memcpy(&u, &x, 4);
  if ((u & 0x7f800000u) != 0x7f800000u) u = (u + (1u << (bits - 1))) >> bits << bits;
  __builtin_memcpy(&x, &u, 4);
  return x;
}
template <int bits, class V> requires (sizeof(V) > 8) inline V rounded(V v) {
  for (unsigned i = 0; i < sizeof(V) / 4; ++i) v[i] = rounded<bits>(static_cast<float>(v[i]));
  return v;
}
template <class V> inline V stale() {
  V v;
  asm volatile("" : "=x"(v));
  return v;
}
template <class T, class... Rest> inline T first(T x, Rest...) { return x; }
}  // namespace kiln_mutation
)";
}

}  // namespace kiln::mutation
