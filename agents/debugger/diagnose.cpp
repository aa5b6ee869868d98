// From a symptom to a cause in the tunables: delta debugging over variants that were tried anyway. The nearest working
// variant of the same template bounds the cause to the tunables that differ; moving the fewest of them to their working
// values is the repair that is tried next. A value, or a pair of values, is excluded only when two failures of one kind
// agree and no success denies it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "agents/debugger/causes.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

using Difference = std::vector<std::string>;  // names of tunables

bool works(const Trial& t) { return t.verdict == Verdict::ok || t.verdict == Verdict::slower; }

bool same_template(const Variant& a, const Variant& b) {
  return a.family == b.family && a.template_name == b.template_name;
}

Difference difference(const Variant& a, const Variant& b) {
  Difference out;
  for (const auto& [name, value] : a.tunables) {
    const auto found = b.tunables.find(name);
    if (found == b.tunables.end() || found->second != value) out.push_back(name);
  }
  return out;
}

const Space* space_of(const std::vector<Space>& spaces, const Variant& v) {
  for (const Space& space : spaces)
    if (space.family == v.family && space.template_name == v.template_name) return &space;
  return nullptr;
}

bool valid(const Space& space, const Variant& v) {
  std::vector<std::uint16_t> row;
  for (std::size_t i = 0; i < space.names.size(); ++i) {
    const auto tunable = v.tunables.find(space.names[i]);
    if (tunable == v.tunables.end()) return false;
    const auto found = std::find(space.values[i].begin(), space.values[i].end(), tunable->second);
    if (found == space.values[i].end()) return false;
    row.push_back(static_cast<std::uint16_t>(found - space.values[i].begin()));
  }
  return std::binary_search(space.rows.begin(), space.rows.end(), row);
}

bool tried(const std::vector<Trial>& trials, const Variant& v) {
  return std::any_of(trials.begin(), trials.end(), [&](const Trial& t) { return t.variant == v; });
}

struct Nearest {
  const Trial* trial = nullptr;
  Difference differs;
};

// Fewest differing tunables; then the fastest; then the first tried.
Nearest nearest_working(const Variant& failed, const std::vector<Trial>& trials) {
  Nearest best;
  for (const Trial& t : trials) {
    if (!works(t) || !same_template(t.variant, failed)) continue;
    Difference d = difference(failed, t.variant);
    if (best.trial && (d.size() > best.differs.size() ||
                       (d.size() == best.differs.size() && t.median_ns >= best.trial->median_ns)))
      continue;
    best = {&t, std::move(d)};
  }
  return best;
}

// Failures with the same verdict that hold `name = value`; nullopt as soon as a success holds it too.
std::optional<std::size_t> concordant(const Failure& failure, const std::string& name, std::int64_t value,
                                      const std::vector<Trial>& trials) {
  std::size_t failures = tried(trials, failure.variant) ? 0 : 1;
  for (const Trial& t : trials) {
    if (!same_template(t.variant, failure.variant)) continue;
    const auto found = t.variant.tunables.find(name);
    if (found == t.variant.tunables.end() || found->second != value) continue;
    if (works(t)) return std::nullopt;
    if (t.verdict == failure.verdict) ++failures;
  }
  return failures;
}

struct Suspect {
  std::string name;
  std::size_t failures = 0;
};

// Among the tunables that differ from the nearest working variant, those whose value never worked; most failures first.
std::vector<Suspect> suspects(const Failure& failure, const Difference& differs, const std::vector<Trial>& trials) {
  std::vector<Suspect> out;
  for (const std::string& name : differs)
    if (const auto count = concordant(failure, name, failure.variant.tunables.at(name), trials))
      out.push_back({name, *count});
  std::stable_sort(out.begin(), out.end(), [](const Suspect& a, const Suspect& b) { return a.failures > b.failures; });
  return out;
}

std::optional<Variant> moved(const Failure& failure, const std::string& tunable, std::int64_t value,
                             const Space& space, const std::vector<Trial>& trials) {
  Variant v = failure.variant;
  v.tunables[tunable] = value;
  if (!valid(space, v) || tried(trials, v)) return std::nullopt;
  return v;
}

// The next smaller value of the tunable that is largest against the smallest of its list: blocking and unrolling are
// what makes a kernel slow to compile, spill, or run out of memory.
std::optional<Variant> reduced(const Failure& failure, const Space& space, const std::vector<Trial>& trials) {
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t i = 0; i < space.names.size(); ++i) {
    const auto found = failure.variant.tunables.find(space.names[i]);
    if (found == failure.variant.tunables.end() || space.values[i].size() < 2) continue;
    const std::int64_t least = *std::min_element(space.values[i].begin(), space.values[i].end());
    if (found->second > least)
      order.emplace_back(static_cast<double>(found->second) / static_cast<double>(std::max<std::int64_t>(least, 1)), i);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [unused, i] : order) {
    std::vector<std::int64_t> smaller = space.values[i];
    std::erase_if(smaller,
                  [&, index = i](std::int64_t v) { return v >= failure.variant.tunables.at(space.names[index]); });
    std::sort(smaller.rbegin(), smaller.rend());
    for (const std::int64_t value : smaller)
      if (auto v = moved(failure, space.names[i], value, space, trials)) return v;
  }
  return std::nullopt;
}

std::string assignment(const Variant& v, const std::string& name) {
  return fmt::format("{}={}", name, v.tunables.at(name));
}

constexpr std::size_t kMostMoved = 3;     // tunables that one repair moves together
constexpr std::size_t kMostRepairs = 64;  // subsets that are looked at

// Subsets of `names` with `size` members, in the order of `names`.
void subsets(const Difference& names, std::size_t size, std::size_t from, Difference& chosen,
             std::vector<Difference>& out) {
  if (chosen.size() == size) return out.push_back(chosen);
  for (std::size_t i = from; i < names.size() && out.size() < kMostRepairs; ++i) {
    chosen.push_back(names[i]);
    subsets(names, size, i + 1, chosen, out);
    chosen.pop_back();
  }
}

// What of the difference is moved to the working side, smallest changes first; within a size, suspects first.
std::vector<Difference> moves(const Difference& differs, const std::vector<Suspect>& suspicious) {
  Difference ordered;
  for (const Suspect& s : suspicious) ordered.push_back(s.name);
  for (const std::string& name : differs)
    if (std::find(ordered.begin(), ordered.end(), name) == ordered.end()) ordered.push_back(name);
  std::vector<Difference> out;
  Difference chosen;
  // The whole difference is the working variant itself.
  for (std::size_t size = 1; size < differs.size() && size <= kMostMoved; ++size)
    subsets(ordered, size, 0, chosen, out);
  return out;
}

std::string moved_text(const Variant& from, const Variant& to) {
  std::string text;
  for (const std::string& name : difference(from, to))
    text += fmt::format("{}{} {} -> {}", text.empty() ? "" : ", ", name, from.tunables.at(name), to.tunables.at(name));
  return text;
}

std::optional<Variant> repair(const Failure& f, const Symptom& symptom, const Nearest& near,
                              const std::vector<Suspect>& suspicious, const Space& space,
                              const std::vector<Trial>& trials) {
  if (!near.trial) return symptom.remedy == Remedy::smaller ? reduced(f, space, trials) : std::nullopt;
  for (const Difference& move : moves(near.differs, suspicious)) {
    Variant v = f.variant;
    for (const std::string& name : move) v.tunables[name] = near.trial->variant.tunables.at(name);
    if (valid(space, v) && !tried(trials, v)) return v;
  }
  return std::nullopt;
}

// Where each value works somewhere, two together may not: the pair that most failures and no success hold. Pairs with
// equal evidence cannot be told apart, so all that they name is excluded together.
std::map<std::string, std::int64_t> failing_pair(const Failure& f, const std::vector<Trial>& trials) {
  std::map<std::string, std::int64_t> best;
  std::ptrdiff_t most = 2;  // failures, at the least
  for (auto i = f.variant.tunables.begin(); i != f.variant.tunables.end(); ++i)
    for (auto j = std::next(i); j != f.variant.tunables.end(); ++j) {
      const LearnedConstraint pair{f.variant.family, f.variant.template_name, {*i, *j}, ""};
      if (std::any_of(trials.begin(), trials.end(),
                      [&](const Trial& t) { return works(t) && excludes(pair, t.variant); }))
        continue;
      const auto failures =
          (tried(trials, f.variant) ? 0 : 1) + std::count_if(trials.begin(), trials.end(), [&](const Trial& t) {
            return t.verdict == f.verdict && excludes(pair, t.variant);
          });
      if (failures < most) continue;
      if (failures > most) best.clear();
      most = failures;
      best.insert(pair.when.begin(), pair.when.end());
    }
  return best;
}

void learn(Diagnosis& d, const Symptom& symptom, const std::vector<Suspect>& suspicious,
           const std::vector<Trial>& trials) {
  const Failure& f = d.failure;
  LearnedConstraint c{f.variant.family, f.variant.template_name, {}, ""};
  const auto works_here = [&](const Trial& t) { return works(t) && same_template(t.variant, f.variant); };
  if (symptom.whole_template && std::none_of(trials.begin(), trials.end(), works_here)) {
    // The toolchain lacks something for every variant alike; two failures of this kind and no success show that.
    std::size_t failures = tried(trials, f.variant) ? 0 : 1;
    for (const Trial& t : trials) failures += same_template(t.variant, f.variant) && t.verdict == f.verdict ? 1 : 0;
    if (failures < 2) return;
    c.because = fmt::format("{} in {} trials and no success: {}", symptom.cause, failures, symptom.proof);
    d.action = "excluded: all of " + f.variant.family + "/" + f.variant.template_name;
  } else {
    const bool works_somewhere = std::any_of(trials.begin(), trials.end(), works_here);
    if (!works_somewhere) return;  // nothing tells what it is that fails
    if (!suspicious.empty() && suspicious.front().failures >= 2) {
      // Values with equal evidence cannot be told apart, so their combination is what is excluded, if it failed twice.
      for (const Suspect& s : suspicious)
        if (s.failures == suspicious.front().failures) c.when[s.name] = f.variant.tunables.at(s.name);
    } else {
      c.when = failing_pair(f, trials);
      if (c.when.empty()) return;
    }
    const auto agrees = [&](const Trial& t) {
      return t.verdict == f.verdict && !(t.variant == f.variant) && excludes(c, t.variant);
    };
    const auto failures = 1 + std::count_if(trials.begin(), trials.end(), agrees);
    if (failures < 2) return;
    std::string text;
    for (const auto& [name, value] : c.when) text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, value);
    c.because = fmt::format("{} with {} in {} trials and no success", symptom.cause, text, failures);
    d.action = (d.repaired ? d.action + "; excluded: " : "excluded: ") + text;
  }
  d.learned = std::move(c);
}

}  // namespace

Diagnosis diagnose(const Failure& failure, const std::vector<Space>& spaces, const std::vector<Trial>& trials) {
  const Symptom symptom = symptom_of(failure);
  Diagnosis d{failure, symptom.cause, symptom.proof, "none", std::nullopt, std::nullopt};
  // Slower is a result, not a defect; an invalid variant never ran, so it says nothing about others.
  if (failure.verdict == Verdict::ok || failure.verdict == Verdict::slower || failure.verdict == Verdict::invalid)
    return d;
  const Nearest near = nearest_working(failure.variant, trials);
  const std::vector<Suspect> suspicious = near.trial ? suspects(failure, near.differs, trials) : std::vector<Suspect>{};
  if (near.trial && !near.differs.empty()) {
    std::string text;
    for (const std::string& name : near.differs)
      text += fmt::format("{}{} (works with {})", text.empty() ? "" : ", ", assignment(failure.variant, name),
                          near.trial->variant.tunables.at(name));
    d.proof += fmt::format(
        "; {} {}",
        near.differs.size() == 1 ? "the nearest working variant differs only in" : "nearest working variant differs in",
        text);
  }
  if (const Space* space = space_of(spaces, failure.variant)) {
    // A variant that works shows that the node lacks nothing for the template as such.
    if (!symptom.whole_template || near.trial) d.repaired = repair(failure, symptom, near, suspicious, *space, trials);
    if (d.repaired) d.action = "repaired: " + moved_text(failure.variant, *d.repaired);
    learn(d, symptom, suspicious, trials);
  }
  return d;
}

std::vector<LearnedConstraint> uncontradicted(std::vector<LearnedConstraint> learned,
                                              const std::vector<Trial>& trials) {
  std::erase_if(learned, [&](const LearnedConstraint& c) {
    return std::any_of(trials.begin(), trials.end(),
                       [&](const Trial& t) { return works(t) && excludes(c, t.variant); });
  });
  return learned;
}

json::object to_json(const Diagnosis& d) {
  json::object out{{"variant", to_json(d.failure.variant)}, {"verdict", name(d.failure.verdict)},
                   {"evidence", d.failure.evidence},        {"cause", d.cause},
                   {"proof", d.proof},                      {"action", d.action},
                   {"repaired", nullptr},                   {"learned", nullptr}};
  if (d.repaired) out["repaired"] = to_json(*d.repaired);
  if (d.learned) {
    json::object when;
    for (const auto& [name, value] : d.learned->when) when.emplace(name, value);
    out["learned"] = json::object{{"family", d.learned->family}, {"template", d.learned->template_name},
                                  {"when", when}, {"because", d.learned->because}};
  }
  return out;
}

}  // namespace kiln::agents
