// What to try next. Seeds first (priors, defaults), and what the templates' own costs call likeliest; while little is
// measured, of what these call likely, and by chance; then, slot by slot, one of three sources drawn at random: the
// unmeasured neighbours of the best, all that is unmeasured (both ranked by a forest), or chance. Handbook figures: a
// forest alone settles too early on rugged spaces, neighbours alone get stuck; 10 % chance keeps both honest.
#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "agents/search/forest.h"
#include "agents/search/search.h"
#include "runtime/base/random.h"

namespace kiln::agents {
namespace {

constexpr std::size_t kTrees = 25;
constexpr double kOptimism = 0.7;         // spreads below the mean: how much an unknown point is worth
constexpr double kFailurePenalty = 4;     // in doublings of time, for a point that is certain to fail
constexpr double kRandomShare = 0.1;
constexpr double kNeighbourShare = 0.6;
constexpr std::size_t kFirstRandom = 6;   // measured points before a forest says anything
constexpr std::size_t kMostPriors = 10;
constexpr double kLikelyShare = 0.7;         // of what is tried before a forest says anything
constexpr double kLikely = 1.25;             // of the least estimate: rows up to there are as good as each other
constexpr std::size_t kFewestLikely = 48;    // and as many in any case
constexpr std::size_t kSurest = 6;           // of the least estimates, tried before anything is drawn
constexpr std::size_t kMostScored = 50'000;  // rows ranked per call; above that a random subset, neighbours always

struct Place {
  std::size_t space = 0, row = 0;
  friend auto operator<=>(const Place&, const Place&) = default;
};

std::optional<std::size_t> find_row(const Space& space, const std::vector<std::uint16_t>& row) {
  const auto found = std::lower_bound(space.rows.begin(), space.rows.end(), row);
  if (found == space.rows.end() || *found != row) return std::nullopt;
  return static_cast<std::size_t>(found - space.rows.begin());
}

std::optional<Place> place_of(const std::vector<Space>& spaces, const Variant& v) {
  for (std::size_t s = 0; s < spaces.size(); ++s) {
    const Space& space = spaces[s];
    if (space.family != v.family || space.template_name != v.template_name) continue;
    std::vector<std::uint16_t> row;
    for (std::size_t i = 0; i < space.names.size(); ++i) {
      const auto tunable = v.tunables.find(space.names[i]);
      if (tunable == v.tunables.end()) break;
      const auto value = std::find(space.values[i].begin(), space.values[i].end(), tunable->second);
      if (value == space.values[i].end()) break;
      row.push_back(static_cast<std::uint16_t>(value - space.values[i].begin()));
    }
    if (row.size() != space.names.size()) continue;
    if (const auto found = find_row(space, row)) return Place{s, *found};
  }
  return std::nullopt;
}

bool measured(const Trial& t) {
  return (t.verdict == Verdict::ok || t.verdict == Verdict::slower) && t.median_ns > 0;
}

// Learned constraints over the index tuples of each space: building a Variant per row would cost a map each.
class Exclusions {
 public:
  Exclusions(const std::vector<Space>& spaces, const std::vector<LearnedConstraint>& learned) : spaces_(spaces) {
    rules_.resize(spaces.size());
    for (std::size_t s = 0; s < spaces.size(); ++s)
      for (const LearnedConstraint& constraint : learned) add(s, constraint);
  }
  [[nodiscard]] bool contains(const Place& p) const {
    const auto& row = spaces_[p.space].rows[p.row];
    return std::any_of(rules_[p.space].begin(), rules_[p.space].end(), [&](const Rule& rule) {
      return std::all_of(rule.begin(), rule.end(), [&](const auto& pair) { return row[pair.first] == pair.second; });
    });
  }

 private:
  using Rule = std::vector<std::pair<std::size_t, std::size_t>>;  // tunable, index of its value

  void add(std::size_t s, const LearnedConstraint& constraint) {
    const Space& space = spaces_[s];
    if (constraint.family != space.family || constraint.template_name != space.template_name) return;
    Rule rule;
    for (const auto& [name, number] : constraint.when) {
      const auto tunable = std::find(space.names.begin(), space.names.end(), name);
      if (tunable == space.names.end()) return;
      const auto i = static_cast<std::size_t>(tunable - space.names.begin());
      const auto value = std::find(space.values[i].begin(), space.values[i].end(), number);
      if (value == space.values[i].end()) return;
      rule.emplace_back(i, static_cast<std::size_t>(value - space.values[i].begin()));
    }
    rules_[s].push_back(std::move(rule));
  }

  const std::vector<Space>& spaces_;
  std::vector<std::vector<Rule>> rules_;
};

// Points of all spaces in one feature vector: the space, the first guess, then one column per tunable name. Templates
// of a family share names, so what is learned of a tile size in one serves the other.
class Features {
 public:
  explicit Features(const std::vector<Space>& spaces) : spaces_(spaces) {
    std::set<std::string> names;
    for (const Space& space : spaces) names.insert(space.names.begin(), space.names.end());
    const std::vector<std::string> columns(names.begin(), names.end());
    width_ = kFixed + columns.size();
    for (const Space& space : spaces) {
      auto& mine = columns_.emplace_back();
      for (const std::string& name : space.names)
        mine.push_back(kFixed + static_cast<std::size_t>(
                                    std::lower_bound(columns.begin(), columns.end(), name) - columns.begin()));
    }
  }
  [[nodiscard]] std::size_t width() const { return width_; }
  void write(const Place& p, float* out) const {
    std::fill(out, out + width_, -1.0f);
    out[0] = static_cast<float>(p.space);
    const Space& space = spaces_[p.space];
    if (!space.estimate_ns.empty()) out[1] = space.estimate_ns[p.row];
    for (std::size_t i = 0; i < space.names.size(); ++i)
      out[columns_[p.space][i]] = static_cast<float>(space.rows[p.row][i]);
  }

 private:
  static constexpr std::size_t kFixed = 2;  // the space, the guess

  const std::vector<Space>& spaces_;
  std::size_t width_ = kFixed;
  std::vector<std::vector<std::size_t>> columns_;  // per space, per tunable
};

struct Known {
  std::vector<std::vector<bool>> taken;        // per space, per row: tried, excluded, or already in this batch
  std::vector<std::size_t> open;               // per space: rows not taken
  std::vector<std::pair<double, Place>> best;  // measured, fastest first
  Samples samples;
};

Known know(const std::vector<Space>& spaces, const std::vector<Trial>& trials, const Exclusions& excluded,
           const Features& features) {
  Known k;
  k.samples.features = features.width();
  for (std::size_t s = 0; s < spaces.size(); ++s) {
    k.taken.emplace_back(spaces[s].rows.size(), false);
    for (std::size_t row = 0; row < spaces[s].rows.size(); ++row)
      if (excluded.contains({s, row})) k.taken[s][row] = true;
  }
  double worst = 0;
  for (const Trial& trial : trials) {
    if (measured(trial)) worst = std::max(worst, grid(trial.median_ns));
  }
  for (const Trial& trial : trials) {
    const auto place = place_of(spaces, trial.variant);
    if (!place) continue;
    k.taken[place->space][place->row] = true;
    k.samples.points.resize(k.samples.points.size() + features.width());
    features.write(*place, &k.samples.points[k.samples.points.size() - features.width()]);
    k.samples.targets.push_back(measured(trial) ? grid(trial.median_ns) : worst);
    k.samples.feasible.push_back(measured(trial));
    if (measured(trial)) k.best.emplace_back(trial.median_ns, *place);
  }
  std::sort(k.best.begin(), k.best.end());
  for (const auto& rows : k.taken)
    k.open.push_back(static_cast<std::size_t>(std::count(rows.begin(), rows.end(), false)));
  return k;
}

// Open rows that differ from `from` in exactly one tunable.
void append_neighbours(const std::vector<Space>& spaces, const Known& known, const Place& from,
                       std::vector<Place>& out) {
  const Space& space = spaces[from.space];
  std::vector<std::uint16_t> row = space.rows[from.row];
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::uint16_t own = row[i];
    for (std::size_t value = 0; value < space.values[i].size(); ++value) {
      if (value == own) continue;
      row[i] = static_cast<std::uint16_t>(value);
      if (const auto found = find_row(space, row); found && !known.taken[from.space][*found])
        out.push_back({from.space, *found});
    }
    row[i] = own;
  }
}

class Batch {
 public:
  Batch(const std::vector<Space>& spaces, Known& known, std::size_t size)
      : spaces_(spaces), known_(known), size_(size) {}

  [[nodiscard]] bool full() const { return out_.size() >= size_; }
  [[nodiscard]] std::vector<Proposal> take() { return std::move(out_); }
  [[nodiscard]] bool open(const Place& p) const { return !known_.taken[p.space][p.row]; }
  void add(const Place& p, const char* why) {
    if (full() || !open(p)) return;
    known_.taken[p.space][p.row] = true;
    --known_.open[p.space];
    out_.push_back({variant_of(spaces_[p.space], p.row), why});
  }
  // A random open row of a random space: templates get equal chances however large their spaces are.
  std::optional<Place> random_place(SplitMix64& random) const {
    std::vector<std::size_t> choices;
    for (std::size_t s = 0; s < spaces_.size(); ++s)
      if (known_.open[s] > 0) choices.push_back(s);
    if (choices.empty()) return std::nullopt;
    const std::size_t space = choices[random.below(choices.size())];
    std::size_t skip = random.below(known_.open[space]);
    for (std::size_t row = 0;; ++row)
      if (!known_.taken[space][row] && skip-- == 0) return Place{space, row};
  }

 private:
  const std::vector<Space>& spaces_;
  Known& known_;
  std::size_t size_;
  std::vector<Proposal> out_;
};

class Ranking {
 public:
  Ranking(const Forest& forest, const Features& features)
      : forest_(forest), features_(features), point_(features.width()) {}

  // Best first; ties by place, so that the order does not depend on the sort.
  std::vector<Place> operator()(const std::vector<Place>& places) {
    std::vector<std::pair<double, Place>> scored;
    scored.reserve(places.size());
    for (const Place& place : places) scored.emplace_back(score(place), place);
    std::sort(scored.begin(), scored.end());
    std::vector<Place> out;
    out.reserve(scored.size());
    for (const auto& [unused, place] : scored) out.push_back(place);
    return out;
  }

 private:
  double score(const Place& place) {
    features_.write(place, point_.data());
    const Prediction p = forest_.predict(point_.data());
    return p.mean - kOptimism * p.spread + kFailurePenalty * (1 - p.feasible);
  }

  const Forest& forest_;
  const Features& features_;
  std::vector<float> point_;
};

std::vector<Place> open_places(const std::vector<Space>& spaces, const Known& known, SplitMix64& random) {
  std::vector<Place> all;
  for (std::size_t s = 0; s < spaces.size(); ++s)
    for (std::size_t row = 0; row < spaces[s].rows.size(); ++row)
      if (!known.taken[s][row]) all.push_back({s, row});
  if (all.size() <= kMostScored) return all;
  for (std::size_t i = 0; i < kMostScored; ++i) std::swap(all[i], all[i + random.below(all.size() - i)]);
  all.resize(kMostScored);
  return all;
}

// Rows of least estimate, least first; the rest of the spaces, and those without an estimate, are left to chance.
std::vector<Place> likely_places(const std::vector<Space>& spaces, const Known& known) {
  std::vector<std::pair<float, Place>> estimated;
  for (std::size_t s = 0; s < spaces.size(); ++s)
    for (std::size_t row = 0; row < spaces[s].estimate_ns.size(); ++row)
      if (!known.taken[s][row]) estimated.emplace_back(spaces[s].estimate_ns[row], Place{s, row});
  std::sort(estimated.begin(), estimated.end());
  std::vector<Place> out;
  for (const auto& [ns, place] : estimated)
    if (out.size() < kFewestLikely || static_cast<double>(ns) <= kLikely * static_cast<double>(estimated.front().first))
      out.push_back(place);
  return out;
}

// The least of each template that is likely, then the next of each: guesses rank the configurations of one template
// better than templates.
void add_surest(const std::vector<Place>& likely, std::size_t templates, std::size_t most, Batch& batch) {
  std::vector<std::vector<Place>> of_each(templates);
  for (const Place& place : likely) of_each[place.space].push_back(place);
  std::erase_if(of_each, [](const std::vector<Place>& places) { return places.empty(); });
  for (std::size_t added = 0, turn = 0; added < std::min(most, likely.size()); ++turn)
    for (const std::vector<Place>& places : of_each)
      if (turn < places.size() && added < most) {
        batch.add(places[turn], "likely");
        ++added;
      }
}

// `surest`: how many of the likeliest are still to come before anything is drawn.
void add_first(const std::vector<Space>& spaces, const Known& known, SplitMix64& random, std::size_t surest,
               Batch& batch) {
  std::vector<Place> likely = likely_places(spaces, known);
  add_surest(likely, spaces.size(), surest, batch);
  std::erase_if(likely, [&](const Place& place) { return !batch.open(place); });
  while (!batch.full()) {
    if (!likely.empty() && random.unit() < kLikelyShare) {
      std::swap(likely[random.below(likely.size())], likely.back());
      batch.add(likely.back(), "likely");
      likely.pop_back();
      continue;
    }
    const auto place = batch.random_place(random);
    if (!place) return;
    batch.add(*place, "random");
  }
}

// Those that were measured and have a place here, fastest first.
std::vector<Place> fastest_places(const std::vector<Space>& spaces, std::vector<Trial> trials, std::size_t most) {
  std::erase_if(trials, [](const Trial& t) { return !measured(t); });
  std::stable_sort(trials.begin(), trials.end(),
                   [](const Trial& a, const Trial& b) { return a.median_ns < b.median_ns; });
  std::vector<Place> out;
  for (const Trial& trial : trials) {
    if (out.size() == most) break;
    if (const auto place = place_of(spaces, trial.variant)) out.push_back(*place);
  }
  return out;
}

// How many there are, tried or not.
std::size_t add_seeds(const std::vector<Space>& spaces, std::vector<Trial> priors, Batch& batch) {
  std::set<Place> seeds;
  const auto add = [&](const Place& place, const char* why) {
    seeds.insert(place);
    batch.add(place, why);
  };
  for (const Place& place : fastest_places(spaces, std::move(priors), kMostPriors)) add(place, "prior");
  for (std::size_t s = 0; s < spaces.size(); ++s)
    if (spaces[s].default_row >= 0) add({s, static_cast<std::size_t>(spaces[s].default_row)}, "default");
  return seeds.size();
}

void add_mix(const std::vector<Space>& spaces, Known& known, const Features& features, SplitMix64& random,
             Batch& batch) {
  const Forest forest = Forest::fit(known.samples, kTrees, random.next());
  Ranking rank(forest, features);
  std::vector<Place> near;
  const std::size_t leaders = known.best.size() < 60 ? 1 : 3;
  for (std::size_t i = 0; i < std::min(leaders, known.best.size()); ++i)
    append_neighbours(spaces, known, known.best[i].second, near);
  std::sort(near.begin(), near.end());
  near.erase(std::unique(near.begin(), near.end()), near.end());
  near = rank(near);
  const std::vector<Place> all = rank(open_places(spaces, known, random));
  std::size_t next_near = 0, next_all = 0;
  const auto next = [&](const std::vector<Place>& from, std::size_t& at) -> std::optional<Place> {
    while (at < from.size() && !batch.open(from[at])) ++at;
    return at < from.size() ? std::optional(from[at++]) : std::nullopt;
  };
  while (!batch.full()) {
    const double draw = random.unit();
    if (draw >= kRandomShare && draw < kRandomShare + kNeighbourShare)
      if (const auto place = next(near, next_near)) {
        batch.add(*place, "neighbour");
        continue;
      }
    if (draw >= kRandomShare)
      if (const auto place = next(all, next_all)) {
        batch.add(*place, "forest");
        continue;
      }
    const auto place = batch.random_place(random);
    if (!place) return;
    batch.add(*place, "random");
  }
}

}  // namespace

std::vector<Proposal> carried_over(const std::vector<Space>& spaces, std::vector<Trial> trials, std::size_t most) {
  std::vector<Proposal> out;
  for (const Place& place : fastest_places(spaces, std::move(trials), most)) {
    const Variant variant = variant_of(spaces[place.space], place.row);
    if (std::none_of(out.begin(), out.end(), [&](const Proposal& p) { return p.variant == variant; }))
      out.push_back({variant, "carried"});
  }
  return out;
}

std::vector<Proposal> propose(const std::vector<Space>& spaces, const std::vector<Trial>& trials,
                              const std::vector<Trial>& priors, const std::vector<LearnedConstraint>& learned,
                              std::uint64_t seed, std::int32_t batch_size) {
  const Features features(spaces);
  const Exclusions excluded(spaces, learned);
  Known known = know(spaces, trials, excluded, features);
  // One seed per job: each call must still draw afresh, and the number of trials is what changes between calls.
  SplitMix64 random(seed ^ (0x9e3779b97f4a7c15u * (trials.size() + 1)));
  Batch batch(spaces, known, static_cast<std::size_t>(std::max(batch_size, 0)));
  const std::size_t seeds = add_seeds(spaces, priors, batch);
  const std::size_t guessed = trials.size() - std::min(seeds, trials.size());  // tried after them
  if (known.best.size() < kFirstRandom)
    add_first(spaces, known, random, kSurest - std::min(kSurest, guessed), batch);
  else
    add_mix(spaces, known, features, random, batch);
  return batch.take();
}

}  // namespace kiln::agents
