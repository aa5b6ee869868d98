#include "daemon/worker/inputs.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/base/error.h"
#include "runtime/base/parallel.h"
#include "runtime/base/random.h"

namespace kiln::worker {
namespace {

class Random : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;
  double normal() {  // Box and Muller
    const double radius = std::sqrt(-2 * std::log(1 - unit()));
    return radius * std::cos(2 * std::numbers::pi * unit());
  }
  std::int64_t integer(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(high - low + 1));
  }
};

// Beyond what e^x holds in float32 (88.7) for one element in six.
constexpr double kAmplification = 64;

enum class Family : std::uint8_t { normal, uniform, shifted, integers, zeros, denormals, amplified, heavy_tail };
constexpr std::string_view kFamilyNames[] = {"normal", "uniform",   "shifted",   "integers",
                                             "zeros",  "denormals", "amplified", "heavy_tail"};

Family family_of(const std::string& name) {
  const auto found = std::find(std::begin(kFamilyNames), std::end(kFamilyNames), name);
  if (found == std::end(kFamilyNames))
    throw Error(ErrorCode::invalid_input, "cannot make inputs of family '" + name + "': no such family");
  return static_cast<Family>(found - std::begin(kFamilyNames));
}

double draw(Random& random, Family family, double tiny) {
  switch (family) {
    case Family::uniform:
      return random.unit();
    case Family::shifted:
      return random.normal() + 4;
    case Family::integers:
      return static_cast<double>(random.integer(-4, 4));
    case Family::zeros:
      return random.integer(0, 63) == 0 ? random.normal() : 0.0;
    case Family::denormals:
      return random.normal() * tiny;
    case Family::amplified:
      return random.normal() * kAmplification;
    case Family::heavy_tail: {
      const double magnitude = std::min(1e4, std::pow(1 - random.unit(), -1 / 1.5) - 1);
      return random.integer(0, 1) == 0 ? magnitude : -magnitude;
    }
    case Family::normal:
      break;
  }
  return random.normal();
}

// One in four from the ends of the range and from where an index begins to count from the other end: what treats these
// apart is wrong there first, and few draws of a long axis are.
std::int64_t draw(Random& random, const graph::Domain& range) {
  const std::int64_t ends[] = {range.low, range.high, std::clamp<std::int64_t>(-1, range.low, range.high),
                               std::clamp<std::int64_t>(0, range.low, range.high)};
  return random.integer(0, 3) == 0 ? ends[random.integer(0, 3)] : random.integer(range.low, range.high);
}

// Elements that one generator makes: the values do not depend on how many threads make them.
constexpr std::int64_t kStretch = 65'536;

}  // namespace

bool is_large(const std::string& family) { return family == "amplified" || family == "heavy_tail"; }

graph::Tensor make_input(const graph::TensorType& type, const std::optional<graph::Domain>& domain,
                         const std::string& family_name, std::uint64_t seed, std::uint64_t stream, int threads) {
  const Family family = family_of(family_name);
  graph::Tensor tensor = graph::Tensor::zeros(type);
  const graph::Domain range = domain.value_or(graph::Domain{0, 1});
  const bool floating = graph::is_float(type.dtype);
  const double tiny = type.dtype == graph::DType::f64 ? 0x1p-1030 : 0x1p-130;
  // Each family draws anew. Were "amplified" the values of "normal" times 64, a right kernel of an operator that takes no
  // notice of scale, such as a norm with a small epsilon, would give the same bits for both.
  const std::uint64_t drawn = (seed + (static_cast<std::uint64_t>(family) << 56)) * 0x2545f4914f6cdd1dull;
  parallel(threads, tensor.count(), kStretch, [&](std::int64_t begin, std::int64_t end) {
    const auto stretch = static_cast<std::uint64_t>(begin / kStretch);
    Random random(splitmix64(drawn + stream + 1) + splitmix64(stretch));
    for (std::int64_t i = begin; i < end; ++i)
      graph::store_double(
          type.dtype, tensor.bytes.data(), i,
          floating ? draw(random, family, tiny) : static_cast<double>(draw(random, range)));
  });
  return tensor;
}

}  // namespace kiln::worker
