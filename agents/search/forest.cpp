#include "agents/search/forest.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/random.h"

namespace kiln::agents {

double grid(double ns) { return std::round(std::log2(std::max(ns, 1e-3)) * 0x1p20) * 0x1p-20; }

class TreeGrowth {
 public:
  TreeGrowth(const Samples& samples, SplitMix64& random) : samples_(samples), random_(random) {
    order_.resize(samples.targets.size());
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = i;
  }

  std::vector<Forest::Node> grow() {
    nodes_.clear();
    split(0, order_.size());
    return std::move(nodes_);
  }

 private:
  struct Cut {
    std::int32_t feature = -1;
    float at = 0;
    double gain = 0;
  };

  float value(std::size_t sample, std::size_t feature) const {
    return samples_.points[sample * samples_.features + feature];
  }

  std::int32_t split(std::size_t begin, std::size_t end) {
    const auto index = static_cast<std::int32_t>(nodes_.size());
    nodes_.push_back(leaf(begin, end));
    const Cut cut = best_cut(begin, end);
    if (cut.feature < 0) return index;
    const auto middle = std::stable_partition(
        order_.begin() + static_cast<std::ptrdiff_t>(begin), order_.begin() + static_cast<std::ptrdiff_t>(end),
        [&](std::size_t sample) { return value(sample, static_cast<std::size_t>(cut.feature)) < cut.at; });
    const auto at = static_cast<std::size_t>(middle - order_.begin());
    const std::int32_t left = split(begin, at);
    const std::int32_t right = split(at, end);
    Forest::Node& node = nodes_[static_cast<std::size_t>(index)];
    node.feature = cut.feature;
    node.cut = cut.at;
    node.left = left;
    node.right = right;
    return index;
  }

  Forest::Node leaf(std::size_t begin, std::size_t end) const {
    Forest::Node node;
    double sum = 0, good = 0;
    for (std::size_t i = begin; i < end; ++i) {
      sum += samples_.targets[order_[i]];
      good += samples_.feasible[order_[i]] ? 1 : 0;
    }
    node.mean = sum / static_cast<double>(end - begin);
    node.feasible = good / static_cast<double>(end - begin);
    return node;
  }

  Cut best_cut(std::size_t begin, std::size_t end) {
    Cut best;
    if (end - begin < 2) return best;
    for (std::size_t feature = 0; feature < samples_.features; ++feature) {
      float low = value(order_[begin], feature), high = low;
      for (std::size_t i = begin + 1; i < end; ++i) {
        low = std::min(low, value(order_[i], feature));
        high = std::max(high, value(order_[i], feature));
      }
      if (!(low < high)) continue;
      // In (low, high]: both sides hold at least one sample.
      const float at = high - static_cast<float>(random_.unit()) * (high - low);
      if (!(at > low)) continue;
      const double gain = gain_of(begin, end, feature, at);
      if (best.feature >= 0 && gain <= best.gain) continue;
      best = {static_cast<std::int32_t>(feature), at, gain};
    }
    return best;
  }

  // Between-group sum of squares: the part of the variance that the cut explains.
  double gain_of(std::size_t begin, std::size_t end, std::size_t feature, float at) const {
    double left = 0, right = 0, left_count = 0, right_count = 0;
    for (std::size_t i = begin; i < end; ++i) {
      const bool below = value(order_[i], feature) < at;
      (below ? left : right) += samples_.targets[order_[i]];
      (below ? left_count : right_count) += 1;
    }
    const double difference = left / left_count - right / right_count;
    return left_count * right_count / (left_count + right_count) * difference * difference;
  }

  const Samples& samples_;
  SplitMix64& random_;
  std::vector<std::size_t> order_;
  std::vector<Forest::Node> nodes_;
};

Forest Forest::fit(const Samples& samples, std::size_t trees, std::uint64_t seed) {
  Forest forest;
  if (samples.targets.empty()) return forest;
  SplitMix64 random(seed);
  TreeGrowth growth(samples, random);
  for (std::size_t i = 0; i < trees; ++i) forest.trees_.push_back(growth.grow());
  return forest;
}

Prediction Forest::predict(const float* point) const {
  Prediction p;
  if (trees_.empty()) return p;
  double sum = 0, squares = 0, feasible = 0;
  for (const std::vector<Node>& tree : trees_) {
    std::size_t at = 0;
    while (tree[at].feature >= 0)
      at = static_cast<std::size_t>(point[tree[at].feature] < tree[at].cut ? tree[at].left : tree[at].right);
    sum += tree[at].mean;
    squares += tree[at].mean * tree[at].mean;
    feasible += tree[at].feasible;
  }
  const auto count = static_cast<double>(trees_.size());
  p.mean = sum / count;
  p.spread = std::sqrt(std::max(0.0, squares / count - p.mean * p.mean));
  p.feasible = feasible / count;
  return p;
}

}  // namespace kiln::agents
