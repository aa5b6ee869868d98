// Extremely randomised regression trees (Geurts, Ernst, Wehenkel, Machine Learning 63, 2006): every tree sees all
// samples, cuts are drawn at random and the best of one draw per feature is kept. The spread between trees says how
// little is known of a point.
//
// Deterministic: samples in the order given, one seeded stream, targets on a grid (see grid()).
#pragma once

#include <cstdint>
#include <vector>

namespace kiln::agents {

struct Samples {
  std::size_t features = 0;
  std::vector<float> points;    // row-major, `features` each
  std::vector<double> targets;  // smaller is better; on the grid
  std::vector<bool> feasible;
};

struct Prediction {
  double mean = 0;
  double spread = 0;    // standard deviation between trees
  double feasible = 1;  // share of feasible samples in the leaves reached
};

class Forest {
 public:
  static Forest fit(const Samples& samples, std::size_t trees, std::uint64_t seed);
  [[nodiscard]] Prediction predict(const float* point) const;

 private:
  struct Node {
    std::int32_t feature = -1;  // -1: leaf
    float cut = 0;              // left when value < cut
    std::int32_t left = 0, right = 0;
    double mean = 0, feasible = 1;
  };
  friend class TreeGrowth;
  std::vector<std::vector<Node>> trees_;
};

// log2 of a time on a grid of 2^-20: the last bits of a libm logarithm differ between processors, and a search that is
// replayed elsewhere must not. Sums of such values are exact.
[[nodiscard]] double grid(double ns);

}  // namespace kiln::agents
