#include "agents/debugger/causes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>

namespace kiln::agents {
namespace {

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

struct Pattern {
  const char* words;
  const char* cause;
  Remedy remedy = Remedy::none;
  bool whole_template = false;
};

// Messages of GCC 12, Clang 14 and GNU ld. In order: the narrow before the broad.
constexpr Pattern kBuildPatterns[] = {
    {"no such file or directory", "missing header", Remedy::none, true},
    {"file not found", "missing header", Remedy::none, true},
    {"internal compiler error", "internal compiler error", Remedy::smaller},
    {"please submit a full bug report", "internal compiler error", Remedy::smaller},
    {"out of memory", "compiler out of memory", Remedy::smaller},
    {"cannot allocate memory", "compiler out of memory", Remedy::smaller},
    {"virtual memory exhausted", "compiler out of memory", Remedy::smaller},
    {"killed signal", "compiler out of memory", Remedy::smaller},
    {"template instantiation depth", "compiler limit reached", Remedy::smaller},
    {"operation count exceeds", "compiler limit reached", Remedy::smaller},
    {"cannot find -l", "missing library", Remedy::none, true},
    {"unrecognized command-line option", "unsupported flag", Remedy::none, true},
    {"unknown argument", "unsupported flag", Remedy::none, true},
    {"target specific option mismatch", "unsupported instruction set"},
    {"always_inline function", "unsupported instruction set"},
    {"bad value", "unsupported instruction set"},
    {"unknown target cpu", "unsupported instruction set"},
    {"abi for passing parameters", "unsupported instruction set"},
    {"was not declared", "undeclared identifier"},
    {"undeclared identifier", "undeclared identifier"},
    {"is not a member of", "undeclared identifier"},
    {"does not name a type", "undeclared identifier"},
    {"undefined reference", "missing symbol at link"},
    {"static assertion failed", "static assertion of the template", Remedy::smaller},
    {"static_assert failed", "static assertion of the template", Remedy::smaller},
    {"no matching function", "type error"},
    {"cannot convert", "type error"},
    {"could not convert", "type error"},
    {"no member named", "type error"},
    {"invalid conversion", "type error"},
    {"invalid operands", "type error"},
    {"size of array", "array too large", Remedy::smaller},
    {"array is too large", "array too large", Remedy::smaller},
    {"expected", "syntax error"},
};

Symptom from_build(const BuildFact& build) {
  for (const Diagnostic& d : build.diagnostics) {
    const std::string severity = lower_case(d.severity);
    if (severity != "error" && severity != "fatal error" && severity != "internal compiler error" && !severity.empty())
      continue;
    const std::string message = lower_case(d.message);
    const std::string proof = fmt::format("{}:{}: {}: {}", d.file, d.line, d.severity, d.message);
    for (const Pattern& p : kBuildPatterns)
      if ((severity + ": " + message).find(p.words) != std::string::npos)
        return {p.cause, proof, p.remedy, p.whole_template};
    return {"compiler error", proof};
  }
  return {"build failed without a diagnostic", "the compiler gave no error text"};
}

struct Signal {
  int number;
  const char* name;
  const char* cause;
  Remedy remedy = Remedy::none;
};
// A wider instruction set, a longer block and a deeper stack all come with a larger value of a tunable.
constexpr Signal kSignals[] = {
    {11, "sigsegv", "reads or writes outside its memory", Remedy::smaller},
    {7, "sigbus", "misaligned or unmapped access"},
    {8, "sigfpe", "integer division by zero"},
    {4, "sigill", "instruction that this processor lacks", Remedy::smaller},
    {6, "sigabrt", "aborted by its own check"},
    {9, "sigkill", "out of memory", Remedy::smaller},
    {31, "sigsys", "forbidden system call"},
};

// x86 raises the same signal for an address that is not mapped and for one that an aligned access refuses; arenas have
// mapped guards around each buffer, so in a kernel that asks for alignment the second is the likelier.
constexpr const char* kAlignedAccesses[] = {"_load_ps(",  "_load_pd(", "_load_si", "_store_ps(",
                                            "_store_pd(", "_store_si", "_stream_", "assume_aligned"};

std::optional<std::string> aligned_access(const std::string& source) {
  std::size_t first = std::string::npos;
  for (const char* words : kAlignedAccesses) first = std::min(first, source.find(words));
  if (first == std::string::npos) return std::nullopt;
  const std::size_t begin = source.rfind('\n', first) + 1, end = std::min(source.find('\n', first), source.size());
  const auto line = 1 + std::count(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(first), '\n');
  return fmt::format("line {}: {}", line,
                     source.substr(source.find_first_not_of(' ', begin), end - source.find_first_not_of(' ', begin)));
}

Symptom from_signal(const std::string& evidence, const std::string& source) {
  const std::string text = lower_case(evidence);
  int number = 0;
  if (const auto at = text.find("signal "); at != std::string::npos)
    for (std::size_t i = at + 7; i < text.size() && text[i] >= '0' && text[i] <= '9' && number < 1000; ++i)
      number = 10 * number + (text[i] - '0');
  for (const Signal& s : kSignals) {
    if (number != s.number && text.find(s.name) == std::string::npos) continue;
    if (s.number == 11)
      if (const std::optional<std::string> access = aligned_access(source))
        return {"aligned access to an address that is not aligned", evidence + "; " + *access, Remedy::smaller};
    return {s.cause, evidence, s.remedy};
  }
  return {"died of an unknown signal", evidence};
}

Symptom from_launch(const std::string& evidence) {
  const std::string text = lower_case(evidence);
  const auto has = [&](const char* words) { return text.find(words) != std::string::npos; };
  if (has("symbol") || has("dlsym")) return {"missing symbol", evidence};
  if (has("feature") || has("avx") || has("instruction")) return {"processor feature missing", evidence};
  if (has("workspace") || has("scratch") || has("memory") || has("arena"))
    return {"workspace too large", evidence, Remedy::smaller};
  return {"refused to start", evidence};
}

bool is_wrong(const ErrorFact& e, double factor) {
  return e.mismatched_nonfinite > 0 || !(e.normwise <= factor * std::max(e.normwise_plain, 0x1p-24)) ||
         !(e.max_scaled <= factor * std::max(e.max_scaled_plain, 0x1p-20));
}

std::string element(const ErrorFact& e) {
  return fmt::format(
      "family '{}', output {}: norm-wise error {:.3g} (plain {:.3g}), element {}: {:.9g} instead of {:.9g}", e.family,
      e.output, e.normwise, e.normwise_plain, e.worst_index, e.worst_value, e.worst_expected);
}

// Errors of this size come from arithmetic in fewer bits, not from wrong elements: bf16 has 2^-9, tf32 and f16 2^-11
// per rounding; a wrong element moves the norm by far more.
constexpr double kPrecisionSized = 4e-3;

Symptom from_errors(const CheckFact& check, const std::string& evidence) {
  if (evidence.find("is not written") != std::string::npos)
    return {"leaves elements unwritten, as at a tail", evidence, Remedy::smaller};
  // The policy's own factor is not known here; 2 is the default, and only the kind of the error is read off.
  std::vector<const ErrorFact*> wrong;
  std::set<std::string> families, wrong_families;
  for (const ErrorFact& e : check.errors) {
    families.insert(e.family);
    if (!is_wrong(e, 2.0)) continue;
    wrong.push_back(&e);
    wrong_families.insert(e.family);
  }
  if (!check.input_sensitive) return {"ignores its inputs", evidence};
  if (wrong.empty() && !check.undoubled.empty()) return {"is not linear where its operator is", evidence};
  if (wrong.empty()) return {"unknown", evidence};
  const ErrorFact& worst =
      **std::max_element(wrong.begin(), wrong.end(), [](auto* a, auto* b) { return a->normwise < b->normwise; });
  const bool only_nonfinite =
      std::all_of(wrong.begin(), wrong.end(), [](auto* e) { return e->mismatched_nonfinite > 0; });
  if (only_nonfinite && wrong_families.size() < families.size())
    return {"non-finite values handled differently", element(worst)};
  const bool small = std::all_of(wrong.begin(), wrong.end(), [](auto* e) {
    return e->normwise <= kPrecisionSized && e->mismatched_nonfinite == 0;
  });
  const bool few_elements =
      std::all_of(wrong.begin(), wrong.end(), [](auto* e) { return e->max_scaled > 64 * e->normwise; });
  // One wrong element of n has max_scaled = sqrt(n) * normwise: when the largest is far above the norm, few are wrong.
  if (few_elements && !small) return {"few elements wrong, as at a tail", element(worst)};
  if (small) return {"precision below that of the model's type", element(worst)};
  if (wrong_families.size() == 1 && families.size() > 1)
    return {"wrong for inputs of family '" + *wrong_families.begin() + "' only", element(worst)};
  return {"wrong everywhere", element(worst)};
}

// One task has no other to race with: what it gives must come from memory that it found.
Symptom from_instability(const Failure& f, const std::string& evidence) {
  if (f.tasks == 1) return {"uses memory that it did not initialise, or state of an earlier call", evidence};
  return {"result depends on timing between threads", evidence};
}

Symptom from_bounds(const std::string& evidence) {
  const bool input = evidence.find("input ") != std::string::npos && evidence.find("was changed") != std::string::npos;
  return {input ? "writes into an input" : "writes past a buffer", evidence, Remedy::smaller};
}

}  // namespace

Symptom symptom_of(const Failure& f) {
  const std::string evidence = f.check && !f.check->evidence.empty() ? f.check->evidence : f.evidence;
  switch (f.verdict) {
    case Verdict::build_failed:
      return f.build ? from_build(*f.build) : Symptom{"unknown", evidence};
    case Verdict::build_timeout:
      return {"build too slow", evidence.empty() ? "the compiler did not end before its deadline" : evidence,
              Remedy::smaller};
    case Verdict::launch_failed: return from_launch(evidence);
    case Verdict::crashed:
      return from_signal(evidence, f.source);
    case Verdict::hung: return {"did not end before its deadline", evidence, Remedy::smaller};
    case Verdict::wrong: return f.check ? from_errors(*f.check, evidence) : Symptom{"unknown", evidence};
    case Verdict::nondeterministic:
      return from_instability(f, evidence);
    case Verdict::out_of_bounds:
      return from_bounds(evidence);
    case Verdict::implausible: return {"faster than the hardware allows: skips work, or the clock is wrong", evidence};
    case Verdict::forbidden:
      return {"does what a kernel may not do",
              f.build && !f.build->diagnostics.empty() ? f.build->diagnostics.front().message : evidence};
    case Verdict::invalid: return {"breaks a constraint of its template", evidence};
    case Verdict::slower: return {"right, but slower than the incumbent", evidence};
    case Verdict::ok: return {"nothing failed", evidence};
  }
  return {"unknown", evidence};
}

}  // namespace kiln::agents
