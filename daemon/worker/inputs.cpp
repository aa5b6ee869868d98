#include "daemon/worker/inputs.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "daemon/targets/draw.h"
#include "runtime/base/error.h"
#include "runtime/base/parallel.h"
#include "runtime/base/random.h"

namespace kiln::worker {
namespace {

// By the numbers of draw::Family.
constexpr std::string_view kFamilies[] = {"normal",   "uniform", "shifted",   "heavy_tail",
                                          "integers", "zeros",   "denormals", "amplified"};
static_assert(targets::draw::family_amplified + 1 == std::size(kFamilies));

constexpr std::int64_t kStretch = 65'536;  // elements that one task draws

}  // namespace

bool is_large(const std::string& family) { return family == "amplified" || family == "heavy_tail"; }

InputDraw draw_of(graph::DType type, const std::optional<graph::Domain>& domain, const std::string& family,
                  std::uint64_t seed, std::uint64_t stream) {
  const auto* const found = std::find(std::begin(kFamilies), std::end(kFamilies), family);
  if (found == std::end(kFamilies))
    throw Error(ErrorCode::invalid_input, "cannot make inputs of family '" + family + "': no such family");
  // Each family draws anew. Were "amplified" the values of "normal" times 64, a right kernel of an operator that takes
  // no notice of scale, such as a norm with a small epsilon, would give the same bits for both.
  const std::int64_t number = found - std::begin(kFamilies);
  const std::uint64_t drawn = (seed + (static_cast<std::uint64_t>(number) << 56)) * 0x2545f4914f6cdd1dull;
  return {splitmix64(splitmix64(drawn + stream + 1)), number, domain.value_or(graph::Domain{0, 1}),
          type == graph::DType::f64 ? 0x1p-1030 : 0x1p-130};
}

graph::Tensor make_input(const graph::TensorType& type, const std::optional<graph::Domain>& domain,
                         const std::string& family, std::uint64_t seed, std::uint64_t stream, int threads) {
  graph::Tensor tensor = graph::Tensor::zeros(type);
  const InputDraw how = draw_of(type.dtype, domain, family, seed, stream);
  const bool floating = graph::is_float(type.dtype);
  parallel(threads, tensor.count(), kStretch, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const targets::draw::Words words(how.key, static_cast<std::uint64_t>(i));
      graph::store_double(
          type.dtype, tensor.bytes.data(), i,
          floating ? targets::draw::drawn(words, how.family, how.tiny)
                   : static_cast<double>(targets::draw::drawn_index(words, how.range.low, how.range.high)));
    }
  });
  return tensor;
}

}  // namespace kiln::worker
