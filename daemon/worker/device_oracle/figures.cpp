#include "daemon/worker/device_oracle/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "daemon/targets/siphash.h"

namespace kiln::worker::device {
namespace {

constexpr std::int64_t kMostLanes = 1 << 17;  // what a large GPU holds at once; few enough for the host to add up
constexpr std::int64_t kLeastElements = 64;   // of a lane

// What the lanes of a kernel left, in their order.
template <class Part>
class Parts {
 public:
  Parts(const Launcher& launcher, std::int64_t lanes)
      : launcher_(launcher),
        lanes_(static_cast<std::size_t>(lanes)),
        memory_(launcher.take(lanes_ * sizeof(Part))) {}

  [[nodiscard]] void* base() const { return memory_->pointer(); }
  [[nodiscard]] std::vector<Part> read() const {
    std::vector<Part> parts(lanes_);
    launcher_.gpu().copy_out(std::as_writable_bytes(std::span(parts)), memory_->address());
    return parts;
  }

 private:
  const Launcher& launcher_;
  const std::size_t lanes_;
  const std::shared_ptr<const targets::cuda::DeviceMemory> memory_;
};

// What so many lanes left, put together on the device by fewer (`fold` names the kernel): the host reads kilobytes.
template <class Part>
std::vector<Part> folded(const Launcher& launcher, const std::string& fold, const Parts<Part>& parts,
                         std::int64_t lanes) {
  const std::int64_t fewer = lanes_of(lanes);
  const Parts<Part> of_fewer(launcher, fewer);
  const kernels::FoldPartsArguments given = {parts.base(), of_fewer.base(), lanes, fewer};
  launcher.launch(fold, given, fewer);
  return of_fewer.read();
}

std::int64_t first_of(const Launcher& launcher, const Parts<Int>& parts, std::int64_t lanes) {
  std::int64_t first = -1;
  for (const Int found : folded(launcher, "fold_found", parts, lanes))
    if (found >= 0 && (first < 0 || found < first)) first = found;
  return first;
}

std::int64_t find(const Launcher& launcher, kernels::Find what, const Raw& a, const void* b, Int poison, int power) {
  const std::int64_t lanes = lanes_of(a.count());
  const Parts<Int> first(launcher, lanes);
  const kernels::FindArguments given = {a.base, b, static_cast<Int*>(first.base()), a.count(), lanes, what,
                                        static_cast<Int>(a.type.dtype), poison, power};
  launcher.launch("find", given, lanes);
  return first_of(launcher, first, lanes);
}

kernels::DrawArguments draw_arguments(const InputDraw& how, int power, const Raw& of) {
  return {of.base,        of.count(),     static_cast<Int>(how.key),        how.family,
          how.range.low,  how.range.high, static_cast<Int>(of.type.dtype),  graph::is_float(of.type.dtype) ? power : 0,
          how.tiny};
}

// The type by which the kernels read an array's elements.
Int type_of(const Array& array) {
  if (array.carrier == kernels::carrier_f64) return kernels::type_f64;
  if (array.carrier == kernels::carrier_f32) return kernels::type_f32;
  return array.type.dtype == graph::DType::u64 ? kernels::type_u64 : kernels::type_i64;
}

// What to divide values of that magnitude by, as a power of two, before they are squared; 0 where double has room.
Int exponent_of(double largest) {
  return largest == 0 || (largest > 1e-70 && largest < 1e70) ? 0 : std::ilogb(largest);
}

// `part` is of other elements.
void add(kernels::Extremes& all, const kernels::Extremes& part) {
  if (part.worst > all.worst || (part.worst == all.worst && part.worst > 0 && part.worst_index < all.worst_index)) {
    all.worst = part.worst;
    all.worst_index = part.worst_index;
  }
  all.plain_worst = std::max(all.plain_worst, part.plain_worst);
  all.largest = std::max(all.largest, part.largest);
  if (part.mismatched > 0 && (all.mismatched == 0 || part.first_mismatch < all.first_mismatch))
    all.first_mismatch = part.first_mismatch;
  all.mismatched += part.mismatched;
  all.finite += part.finite;
}

struct Sums {
  kernels::Extremes extremes{};
  long double got = 0, plain = 0, want = 0;  // squares
};
// One pass over the three arrays.
Sums sums(const Launcher& launcher, kernels::CompareArguments given) {
  const Parts<kernels::Figures> figures(launcher, given.lanes);
  given.parts = figures.base();
  launcher.launch("figures", given, given.lanes);
  Sums all;
  for (const kernels::Figures& part : folded(launcher, "fold_figures", figures, given.lanes)) {
    add(all.extremes, part.extremes);
    all.got += part.squares.got;
    all.plain += part.squares.plain;
    all.want += part.squares.want;
  }
  return all;
}

// An element of the device's memory; 0 for one that is not finite.
double number_at(const Launcher& launcher, const void* base, graph::DType type, std::int64_t index) {
  std::byte bytes[8] = {};
  const std::size_t size = graph::size_of(type);
  const auto address = reinterpret_cast<kiln::cuda::DevicePointer>(base) + static_cast<std::size_t>(index) * size;
  launcher.gpu().copy_out(std::span(bytes).first(size), address);
  const double x = graph::load_double(type, bytes, 0);
  return std::isfinite(x) ? x : 0;
}

// The figures of compare(), of elements that the kernels read as `type`; `right_norm`: of the right output.
struct Comparison {
  agents::ErrorFact fact;
  double right_norm = 0;
};

Comparison compared(const Launcher& launcher, const void* got, Int type, const Array& plain, const Array& expected,
                    int power) {
  const std::int64_t lanes = lanes_of(expected.count());
  kernels::CompareArguments given{};
  given.got = got;
  given.plain = plain.base();
  given.want = expected.base();
  given.count = expected.count();
  given.lanes = lanes;
  given.type = type;
  given.plain_type = type_of(plain);
  given.want_type = type_of(expected);
  given.power = power;
  Sums all_sums = sums(launcher, given);
  const kernels::Extremes all = all_sums.extremes;
  given.got_exponent = exponent_of(all.worst);
  given.plain_exponent = exponent_of(all.plain_worst);
  given.want_exponent = exponent_of(all.largest);
  // Squares that left double's range are taken once more, scaled.
  if (given.got_exponent != 0 || given.plain_exponent != 0 || given.want_exponent != 0)
    all_sums = sums(launcher, given);
  const auto norm = [](long double sum_of_squares, Int exponent) {
    return static_cast<double>(std::ldexp(std::sqrt(sum_of_squares), static_cast<int>(exponent)));
  };
  const double right = norm(all_sums.want, given.want_exponent);
  const double rms = all.finite > 0 ? right / std::sqrt(static_cast<double>(all.finite)) : 0;
  Comparison out{{}, right};
  agents::ErrorFact& fact = out.fact;
  fact.normwise = norm(all_sums.got, given.got_exponent) / (right > 0 ? right : 1);
  fact.normwise_plain = norm(all_sums.plain, given.plain_exponent) / (right > 0 ? right : 1);
  fact.max_scaled = all.worst / (rms > 0 ? rms : 1);
  fact.max_scaled_plain = all.plain_worst / (rms > 0 ? rms : 1);
  fact.mismatched_nonfinite = all.mismatched;
  if (all.mismatched == 0 && all.finite == 0) return out;
  fact.worst_index = all.mismatched > 0 ? all.first_mismatch : all.worst_index;
  fact.worst_value = number_at(launcher, got, static_cast<graph::DType>(type), fact.worst_index);
  const auto want_type = static_cast<graph::DType>(given.want_type);
  fact.worst_expected = std::ldexp(number_at(launcher, given.want, want_type, fact.worst_index), power);
  return out;
}

}  // namespace

std::int64_t lanes_of(std::int64_t count) {
  return std::clamp<std::int64_t>((count + kLeastElements - 1) / kLeastElements, 1, kMostLanes);
}

void draw(const Launcher& launcher, const InputDraw& how, int power, const Raw& to) {
  launcher.launch("draw", draw_arguments(how, power, to), to.count());
}

std::int64_t first_redrawn(const Launcher& launcher, const InputDraw& how, int power, const Raw& found) {
  const std::int64_t lanes = lanes_of(found.count());
  const Parts<Int> first(launcher, lanes);
  const kernels::RedrawArguments given = {draw_arguments(how, power, found), found.base,
                                          static_cast<Int*>(first.base()), lanes};
  launcher.launch("redraw", given, lanes);
  return first_of(launcher, first, lanes);
}

void rescale(const Launcher& launcher, const Raw& from, int power, const Raw& to) {
  const auto type = static_cast<Int>(from.type.dtype);
  const kernels::RoundArguments given = {from.base, to.base, from.count(), type, type,
                                         graph::is_float(from.type.dtype) ? power : 0};
  launcher.launch("round_elements", given, from.count());
}

void copy(const Launcher& launcher, const void* from, void* to, std::size_t bytes) {
  const auto address = [](const void* at) { return reinterpret_cast<kiln::cuda::DevicePointer>(at); };
  const kiln::cuda::DriverApi& api = launcher.gpu().api();
  kiln::cuda::check(api, api.cuMemcpyDtoDAsync_v2(address(to), address(from), bytes, launcher.gpu().stream()),
                    "copy on the GPU");
}

void nudge(const Launcher& launcher, std::uint64_t seed, const Raw& at) {
  if (!graph::is_float(at.type.dtype)) return;
  const kernels::NudgeArguments given = {at.base, at.count(), static_cast<Int>(at.type.dtype), static_cast<Int>(seed)};
  launcher.launch("nudge_elements", given, at.count());
}

std::int64_t first_poisoned(const Launcher& launcher, const Raw& a, std::byte poison) {
  return find(launcher, kernels::find_poisoned, a, nullptr, static_cast<Int>(poison), 0);
}
std::int64_t first_different(const Launcher& launcher, const Raw& a, const Raw& b) {
  return find(launcher, kernels::find_different, a, b.base, 0, 0);
}
std::int64_t first_unscaled(const Launcher& launcher, const Raw& a, const Raw& b, int power) {
  return find(launcher, kernels::find_unscaled, a, b.base, 0, power);
}
std::int64_t first_unrescaled(const Launcher& launcher, const Raw& a, const Raw& b, int power) {
  if (power == 0 || !graph::is_float(a.type.dtype)) return first_different(launcher, a, b);
  return find(launcher, kernels::find_rescaled, a, b.base, 0, power);
}

agents::ErrorFact compare(const Launcher& launcher, const Raw& output, const Array& plain, const Array& expected,
                          int power) {
  return compared(launcher, output.base, static_cast<Int>(output.type.dtype), plain, expected, power).fact;
}

Conditioning difference(const Launcher& launcher, const Array& got, const Array& expected) {
  const Comparison found = compared(launcher, got.base(), type_of(got), got, expected, 0);
  if (!(found.right_norm > 0)) return {};
  return {found.fact.normwise, found.fact.max_scaled};
}

double effective_count(const Launcher& launcher, const Array& x) {
  const std::int64_t lanes = lanes_of(x.count());
  kernels::MagnitudeArguments given{};
  given.x = x.base();
  given.count = x.count();
  given.lanes = lanes;
  given.type = type_of(x);
  const Parts<double> magnitudes(launcher, lanes);
  given.parts = magnitudes.base();
  launcher.launch("largest", given, lanes);
  const std::vector<double> found = magnitudes.read();
  const double largest = *std::max_element(found.begin(), found.end());
  if (largest == 0) return 1;
  given.exponent = std::ilogb(largest);
  const Parts<kernels::Powers> powers(launcher, lanes);
  given.parts = powers.base();
  launcher.launch("powers", given, lanes);
  long double squares = 0, fourths = 0;
  for (const kernels::Powers& part : powers.read()) {
    squares += part.squares;
    fourths += part.fourths;
  }
  return static_cast<double>(squares * squares / fourths);
}

TreeHash::TreeHash(const Launcher& launcher, const HashKey& key) : launcher_(launcher), key_(key) {}

void TreeHash::add(const Array& array, int power) {
  const graph::DType type = array.type.dtype;
  const std::int64_t bytes = array.count() * static_cast<std::int64_t>(graph::size_of(type));
  const auto held = launcher_.take(static_cast<std::size_t>(bytes));
  const kernels::RoundArguments given = {array.base(),   held->pointer(),        array.count(),
                                         type_of(array), static_cast<Int>(type), graph::is_float(type) ? power : 0};
  launcher_.launch("round_elements", given, array.count());
  add(held->pointer(), bytes);
}

void TreeHash::add(const void* base, std::int64_t bytes) {
  const std::int64_t lanes = lanes_of((bytes + 7) / 8);
  const Parts<Int> leaves(launcher_, lanes);
  const kernels::HashArguments given = {base,  static_cast<Int*>(leaves.base()), bytes,
                                        lanes, static_cast<Int>(key_.low),       static_cast<Int>(key_.high)};
  launcher_.launch("hash", given, lanes);
  // Of their hashes those of fewer parts, that the host need not hash them one after the other.
  const std::int64_t fewer = lanes_of(lanes);
  const Parts<Int> upper(launcher_, fewer);
  const kernels::HashArguments above = {leaves.base(), static_cast<Int*>(upper.base()), 8 * lanes,
                                        fewer, given.key0, given.key1};
  launcher_.launch("hash", above, fewer);
  for (const Int leaf : upper.read()) leaves_.push_back(static_cast<std::uint64_t>(leaf));
  leaves_.push_back(static_cast<std::uint64_t>(bytes));
}

std::string TreeHash::finish() const {
  targets::SipHash root(key_.low, key_.high);
  for (const std::uint64_t leaf : leaves_) root.add(leaf);
  return fmt::format("siphash-tree:{:016x}", root.finish(static_cast<std::uint64_t>(leaves_.size()) * 8 << 56));
}

}  // namespace kiln::worker::device
