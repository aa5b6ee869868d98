#include "tests/bench/mutations/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace kiln::mutation {
namespace {

constexpr std::size_t kOutcomes = static_cast<std::size_t>(Outcome::refused) + 1;

struct Tally {
  std::array<std::size_t, kOutcomes> count{};
  [[nodiscard]] std::size_t operator[](Outcome o) const { return count[static_cast<std::size_t>(o)]; }
  void add(Outcome o) { ++count[static_cast<std::size_t>(o)]; }
  [[nodiscard]] std::size_t wrong() const { return (*this)[Outcome::caught] + (*this)[Outcome::survived]; }
  [[nodiscard]] double share() const {
    return wrong() == 0 ? 1 : static_cast<double>((*this)[Outcome::caught]) / static_cast<double>(wrong());
  }
};

using Tallies = std::map<std::string, Tally>;

Tallies tallied(const Records& records, std::string Trial::*by, bool right) {
  Tallies out;
  for (const Trial& t : records.all())
    if (is_of_right_variant(t.outcome) == right) {
      out[t.*by].add(t.outcome);
      out["~all"].add(t.outcome);  // sorts behind every name
    }
  return out;
}

std::string title_of(const std::string& name) { return name == "~all" ? "all" : name; }

void print_mutants(const char* title, const Tallies& tallies) {
  fmt::print("{:<20}{:>10}{:>7}{:>7}{:>9}{:>9}{:>8}{:>10}{:>10}\n", title, "same code", "equal", "class",
             "special", "wrong", "caught", "survived", "caught %");
  for (const auto& [name, t] : tallies)
    fmt::print("{:<20}{:>10}{:>7}{:>7}{:>9}{:>9}{:>8}{:>10}{:>10.3f}\n", title_of(name),
               t[Outcome::same_code], t[Outcome::equal], t[Outcome::within_class], t[Outcome::special_only],
               t.wrong(), t[Outcome::caught], t[Outcome::survived], 100 * t.share());
  fmt::print("\n");
}

void print_right(const Tallies& tallies) {
  fmt::print("{:<20}{:>10}{:>9}\n", "right variants", "tried", "refused");
  for (const auto& [name, t] : tallies)
    fmt::print("{:<20}{:>10}{:>9}\n", title_of(name), t[Outcome::right] + t[Outcome::refused],
               t[Outcome::refused]);
}

}  // namespace

void print_report(const Records& records) {
  fmt::print(
      "same code: the compiler's output is the original's; equal: the same bits on every input of the wider "
      "look;\n"
      "class: other bits, within the precision class on every input; special: other bits only for inputs "
      "that are "
      "infinite,\nnot numbers or near the ends of the type; wrong = caught + survived\n\n");
  print_mutants("operator", tallied(records, &Trial::operation, false));
  print_mutants("family", tallied(records, &Trial::family, false));
  std::map<std::string, std::size_t> verdicts;
  for (const Trial& t : records.all())
    if (t.outcome == Outcome::caught) ++verdicts[t.verdict];
  fmt::print("caught as:");
  for (const auto& [verdict, count] : verdicts) fmt::print(" {} {}", verdict, count);
  fmt::print("\n\n");
  print_right(tallied(records, &Trial::family, true));
  for (const Trial& t : records.all()) {
    if (t.outcome == Outcome::refused) fmt::print("\nrefused: {}\n  {}\n", t.subject, t.reason);
    if (t.outcome == Outcome::survived || t.outcome == Outcome::within_class ||
        t.outcome == Outcome::special_only)
      fmt::print("\n{}: {}, {}\n  {}\n", name(t.outcome), t.operation, t.subject, t.difference);
  }
}

void print_costs(const Costs& c, std::size_t trials) {
  if (trials == 0) return;
  const auto each = [&](double seconds) { return 1e3 * seconds / static_cast<double>(trials); };
  fmt::print(
      "\nms per trial: {:.0f} finding code, {:.0f} building, {:.0f} checking, {:.0f} comparing, {:.0f} "
      "proving\n",
      each(c.rendering), each(c.building), each(c.checking), each(c.comparing), each(c.proving));
}

double caught_share(const Records& records) {
  const Tallies all = tallied(records, &Trial::family, false);
  return all.empty() ? 1 : all.at("~all").share();
}

std::size_t refused_right_variants(const Records& records) {
  return static_cast<std::size_t>(
      std::count_if(records.all().begin(), records.all().end(),
                    [](const Trial& t) { return t.outcome == Outcome::refused; }));
}

}  // namespace kiln::mutation
