// Inputs that a GPU draws, and figures that it reads off arrays, against the host's; executed as device_oracle.cpp
// says.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "agents/graph/interpreter.h"
#include "daemon/targets/cuda/shared_memory.h"
#include "daemon/targets/siphash.h"
#include "daemon/worker/compare.h"
#include "daemon/worker/device_oracle/device_judge.h"
#include "daemon/worker/device_oracle/figures.h"
#include "daemon/worker/inputs.h"
#include "tests/cuda/oracle_on_gpu.h"

using namespace kiln;
using namespace kiln::graph;
using testing::device_oracle;
using testing::gpu_of_test;
using worker::device::Raw;

namespace {

const worker::device::Launcher& launcher() {
  static const worker::device::Launcher one(gpu_of_test(), device_oracle().module(), Arithmetic::model);
  return one;
}

// A tensor in the device's memory.
class OnDevice {
 public:
  explicit OnDevice(const TensorType& type)
      : memory_(launcher().take(static_cast<std::size_t>(element_count(type.shape)) * size_of(type.dtype))),
        raw_{type, memory_->pointer()} {}
  explicit OnDevice(const Tensor& tensor) : OnDevice(tensor.type) {
    gpu_of_test().copy_in(memory_->address(), tensor.bytes);
  }
  [[nodiscard]] const Raw& raw() const { return raw_; }
  [[nodiscard]] Tensor read() const {
    Tensor out = Tensor::zeros(raw_.type);
    gpu_of_test().copy_out(out.bytes, memory_->address());
    return out;
  }

 private:
  std::shared_ptr<const targets::cuda::DeviceMemory> memory_;
  Raw raw_;
};

Tensor input(DType type, std::int64_t count, const std::string& family, std::uint64_t seed) {
  return worker::make_input({type, {count}}, std::nullopt, family, seed, 0);
}

Tensor widened_to_f64(const Tensor& from) {
  Tensor out = Tensor::zeros({DType::f64, from.type.shape});
  for (std::int64_t i = 0; i < from.count(); ++i)
    store_double(DType::f64, out.bytes.data(), i, load_double(from.type.dtype, from.bytes.data(), i));
  return out;
}

void check_close(double a, double b) { CHECK(std::abs(a - b) <= 1e-12 * std::max(std::abs(a), std::abs(b))); }

// The device's comparison against the host's, of a candidate's output, a plain one and the right one.
void check_compared(const Tensor& output, const Tensor& plain, const Tensor& right) {
  const worker::device::Launcher exact(gpu_of_test(), device_oracle().module(), Arithmetic::fp64);
  const OnDevice got(output);
  const agents::ErrorFact want = worker::compare_output(output.bytes, plain, right);
  const agents::ErrorFact found =
      worker::device::compare(launcher(), got.raw(), worker::device::uploaded(launcher(), plain.type, plain.bytes),
                              worker::device::uploaded(exact, right.type, right.bytes), 0);
  check_close(found.normwise, want.normwise);
  check_close(found.normwise_plain, want.normwise_plain);
  check_close(found.max_scaled, want.max_scaled);
  check_close(found.max_scaled_plain, want.max_scaled_plain);
  CHECK(found.mismatched_nonfinite == want.mismatched_nonfinite);
  CHECK(found.worst_index == want.worst_index);
  CHECK(found.worst_value == want.worst_value);
  CHECK(found.worst_expected == want.worst_expected);
}

const std::vector<DType> kTypes = {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32, DType::i16,
                                   DType::i8,  DType::u64, DType::u32, DType::u16,  DType::u8,  DType::boolean};
const std::vector<std::string> kFamilies = {"normal",   "uniform", "shifted",   "heavy_tail",
                                            "integers", "zeros",   "denormals", "amplified"};

}  // namespace

TEST_CASE("a GPU draws the bits that the host draws, in every family and type") {
  for (const std::string& family : kFamilies)
    for (const DType type : kTypes) {
      INFO(family << " of " << name(type));
      const Domain domain{type == DType::boolean || type >= DType::u64 ? 0 : -70, type == DType::boolean ? 1 : 90};
      const TensorType of{type, {3001}};
      const Tensor want = worker::make_input(of, domain, family, 11, 3);
      const worker::InputDraw how = worker::draw_of(type, domain, family, 11, 3);
      const OnDevice drawn(of);
      worker::device::draw(launcher(), how, 0, drawn.raw());
      CHECK(drawn.read().bytes == want.bytes);
      CHECK(worker::device::first_redrawn(launcher(), how, 0, drawn.raw()) == -1);
    }
}

TEST_CASE("the host's draws keep to their distribution far from the middle") {
  // Of a million normal values 2700 are past 3 and 63 past 4 (Abramowitz and Stegun, table 26.1); of Pareto's 1.5 one
  // in 1000 is past 100 before 1 is subtracted.
  const Tensor normal = input(DType::f64, 1'000'000, "normal", 5), tail = input(DType::f64, 1'000'000, "heavy_tail", 5);
  int past3 = 0, past4 = 0, past99 = 0;
  double squares = 0, fourths = 0;
  for (const double x : normal.as<double>()) {
    past3 += std::abs(x) > 3;
    past4 += std::abs(x) > 4;
    squares += x * x / 1e6;
    fourths += x * x * x * x / 1e6;
  }
  for (const double x : tail.as<double>()) past99 += std::abs(x) > 99;
  CHECK(std::abs(past3 - 2700) < 5 * std::sqrt(2700.0));
  CHECK(std::abs(past4 - 63) < 5 * std::sqrt(63.0));
  CHECK(std::abs(past99 - 1000) < 5 * std::sqrt(1000.0));
  CHECK(squares == doctest::Approx(1).epsilon(0.01));
  CHECK(fourths == doctest::Approx(3).epsilon(0.03));
}

TEST_CASE("an input that one bit was changed of is no longer what is drawn") {
  for (const DType type : {DType::f32, DType::bf16, DType::i64, DType::u8}) {
    Tensor changed = input(type, 5000, "normal", 2);
    changed.bytes[size_of(type) * 4321] ^= std::byte{1};
    const worker::InputDraw how = worker::draw_of(type, std::nullopt, "normal", 2, 0);
    CHECK(worker::device::first_redrawn(launcher(), how, 0, OnDevice(changed).raw()) == 4321);
  }
}

TEST_CASE("doubled inputs are drawn doubled") {
  Tensor doubled = input(DType::f32, 700, "normal", 2);
  for (float& x : doubled.as<float>()) x *= 2;
  const worker::InputDraw how = worker::draw_of(DType::f32, std::nullopt, "normal", 2, 0);
  const OnDevice drawn(doubled.type);
  worker::device::draw(launcher(), how, 1, drawn.raw());
  CHECK(drawn.read().bytes == doubled.bytes);
}

TEST_CASE("what is kept and doubled has the bits of what is drawn doubled, and one that was changed is found") {
  for (const DType type : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i32})
    for (const std::string family : {"normal", "denormals", "amplified"}) {
      INFO(family << " of " << name(type));
      const TensorType of{type, {3001}};
      const worker::InputDraw how = worker::draw_of(type, Domain{-70, 90}, family, 11, 3);
      for (const int power : {0, 1, -2}) {
        const OnDevice kept(of), again(of), rescaled(of);
        worker::device::draw(launcher(), how, 0, kept.raw());
        worker::device::draw(launcher(), how, power, again.raw());
        worker::device::rescale(launcher(), kept.raw(), power, rescaled.raw());
        CHECK(rescaled.read().bytes == again.read().bytes);
        CHECK(worker::device::first_unrescaled(launcher(), kept.raw(), again.raw(), power) == -1);
        Tensor changed = again.read();
        for (const std::size_t i : {3000, 1234}) changed.bytes[i * size_of(type)] ^= std::byte{1};
        CHECK(worker::device::first_unrescaled(launcher(), kept.raw(), OnDevice(changed).raw(), power) == 1234);
      }
    }
}

TEST_CASE("every 16-bit float is compared by the value that the host gives it") {
  for (const DType type : {DType::f16, DType::bf16}) {
    Tensor all = Tensor::zeros({type, {65'536}});
    for (std::size_t i = 0; i < 65'536; ++i) {
      const auto bits = static_cast<std::uint16_t>(i);
      std::memcpy(&all.bytes[2 * i], &bits, 2);
    }
    const Tensor right = widened_to_f64(all);
    check_compared(all, all, right);
    const OnDevice raw(all);
    const worker::device::Launcher exact(gpu_of_test(), device_oracle().module(), Arithmetic::fp64);
    const agents::ErrorFact found =
        worker::device::compare(launcher(), raw.raw(), worker::device::uploaded(launcher(), all.type, all.bytes),
                                worker::device::uploaded(exact, right.type, right.bytes), 0);
    CHECK(found.normwise == 0);
    CHECK(found.mismatched_nonfinite == 0);
  }
}

TEST_CASE("the first element of each kind is found on a GPU") {
  for (const DType type : {DType::f64, DType::f32, DType::f16, DType::i8}) {
    const Tensor a = input(type, 5000, "normal", 4);
    Tensor b = a;
    CHECK(worker::device::first_different(launcher(), OnDevice(a).raw(), OnDevice(b).raw()) == -1);
    for (const std::size_t i : {std::size_t{4999}, std::size_t{77}})
      std::memset(&b.bytes[i * size_of(type)], 0x7b, size_of(type));
    const OnDevice before(a), now(b);
    CHECK(worker::device::first_different(launcher(), before.raw(), now.raw()) == 77);
    CHECK(worker::device::first_poisoned(launcher(), now.raw(), std::byte{0x7b}) == 77);
    CHECK(worker::device::first_poisoned(launcher(), now.raw(), std::byte{0xff}) == -1);
    CHECK(worker::device::first_unscaled(launcher(), before.raw(), now.raw(), 0) == 77);
  }
  Tensor x = input(DType::f32, 300, "normal", 4), twice = x;
  x.as<float>()[9] = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t i = 0; i < 300; ++i) twice.as<float>()[i] = 2 * x.as<float>()[i];
  CHECK(worker::device::first_unscaled(launcher(), OnDevice(x).raw(), OnDevice(twice).raw(), 1) == -1);
  twice.as<float>()[200] = std::nextafter(twice.as<float>()[200], 0.0f);
  CHECK(worker::device::first_unscaled(launcher(), OnDevice(x).raw(), OnDevice(twice).raw(), 1) == 200);
}

TEST_CASE("a GPU's comparison has the host's figures") {
  for (const std::string& family : kFamilies)
    for (const DType type : kTypes) {
      INFO(family << " of " << name(type));
      const Tensor plain = input(type, 40'001, family, 6);
      Tensor output = plain, right = is_float(type) ? widened_to_f64(plain) : plain;
      if (type == DType::boolean) output.bytes[300] = output.bytes[300] == std::byte{0} ? std::byte{1} : std::byte{0};
      for (const std::int64_t i : {7, 31'000, 39'000}) {
        const double x = load_double(type, plain.bytes.data(), i);
        if (is_float(type)) {
          store_double(type, output.bytes.data(), i, x * 1.25);
          store_double(DType::f64, right.bytes.data(), i + 5, x);
        } else if (type != DType::boolean) {
          store_double(type, output.bytes.data(), i, x + 3);
        }
      }
      check_compared(output, plain, right);
    }
}

TEST_CASE("a GPU's comparison: infinities, NaN, all zeros, and squares beyond double's range") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  Tensor right = widened_to_f64(input(DType::f64, 1000, "normal", 8)), plain = right, output = right;
  const auto set = [](Tensor& t, std::size_t i, double x) { t.as<double>()[i] = x; };
  for (Tensor* t : {&right, &plain, &output}) {
    set(*t, 10, inf);
    set(*t, 11, -inf);
    set(*t, 12, std::nan(""));
  }
  check_compared(output, plain, right);
  set(plain, 20, inf);  // overflows in the model's type, and in the candidate
  set(output, 20, inf);
  check_compared(output, plain, right);
  set(output, 11, inf);
  set(output, 300, std::nan(""));
  check_compared(output, plain, right);
  for (const double scale : {0x1p-1040, 0x1p-600, 0x1p600, 0.0}) {
    Tensor all = widened_to_f64(input(DType::f64, 1000, "uniform", 8)), got = all, simple = all;
    for (std::size_t i = 0; i < 1000; ++i) {
      set(all, i, all.as<double>()[i] * scale);
      set(simple, i, all.as<double>()[i]);
      set(got, i, all.as<double>()[i] * (i % 7 == 0 ? 1.0 + 1e-4 : 1.0));
    }
    set(simple, 3, all.as<double>()[3] * 1.5);
    if (scale == 0) set(got, 4, 0.5);
    check_compared(got, simple, all);
  }
}

TEST_CASE("SipHash-2-4 has the values of its authors") {
  // "SipHash: a fast short-input PRF", appendix A: key 00 01 ... 0f, message 00 01 ... 0e; and of their reference
  // implementation the first of its vectors, of no bytes.
  targets::SipHash hash(0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull);
  targets::SipHash none = hash;
  hash.add(0x0706050403020100ull);
  CHECK(hash.finish(0x0f0e0d0c0b0a0908ull) == 0xa129ca6149be45e5ull);
  CHECK(none.finish(0) == 0x726fdb47dd0e0e31ull);
}

TEST_CASE("a digest on a GPU is the hash of its parts' hashes, and follows key, order and every bit") {
  constexpr std::int64_t kBytes = 8 * 30'000 + 5;
  Tensor bytes = worker::make_input({DType::u8, {kBytes}}, Domain{0, 255}, "normal", 3, 0);
  const auto digest = [&](worker::device::HashKey key) {
    worker::device::TreeHash hash(launcher(), key);
    hash.add(OnDevice(bytes).raw().base, kBytes);
    return hash.finish();
  };
  // By hand: word i, the last of them filled up with zeros, belongs to part i modulo their number; so do parts' hashes.
  std::vector<std::uint64_t> words(30'001, 0);
  std::memcpy(words.data(), bytes.bytes.data(), kBytes);
  const auto parts_of = [](const std::vector<std::uint64_t>& whole) {
    const auto lanes = static_cast<std::size_t>(worker::device::lanes_of(static_cast<std::int64_t>(whole.size())));
    std::vector<std::uint64_t> parts;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      targets::SipHash part(1, 2);
      std::uint64_t length = 0;
      for (std::size_t i = lane; i < whole.size(); i += lanes, length += 8) part.add(whole[i]);
      parts.push_back(part.finish(length << 56));
    }
    return parts;
  };
  targets::SipHash root(1, 2);
  const std::vector<std::uint64_t> upper = parts_of(parts_of(words));
  for (const std::uint64_t hash : upper) root.add(hash);
  root.add(static_cast<std::uint64_t>(kBytes));
  char text[40];
  std::snprintf(text, sizeof text, "siphash-tree:%016llx",
                static_cast<unsigned long long>(root.finish((upper.size() + 1) * 8 << 56)));
  const std::string before = digest({1, 2});
  CHECK(before == text);
  CHECK(digest({1, 3}) != before);
  for (const std::size_t i : {std::size_t{0}, std::size_t{1000}, static_cast<std::size_t>(kBytes - 1)}) {
    bytes.bytes[i] ^= std::byte{0x10};
    CHECK(digest({1, 2}) != before);
    bytes.bytes[i] ^= std::byte{0x10};
  }
  std::swap_ranges(bytes.bytes.begin(), bytes.bytes.begin() + 8, bytes.bytes.begin() + 8);
  CHECK(digest({1, 2}) != before);
}

TEST_CASE("memory that is shared has one content for both sides, and is no longer there once unmapped") {
  const auto made = targets::cuda::SharedMemory::made(gpu_of_test(), 100'000);
  const UniqueFd descriptor = made.exported();
  const Tensor content = input(DType::f32, 25'000, "normal", 1);
  gpu_of_test().copy_in(made.address(), content.bytes);
  Tensor seen = Tensor::zeros(content.type);
  for (int time = 0; time < 2; ++time) {
    const auto other = targets::cuda::SharedMemory::imported(gpu_of_test(), descriptor.get(), 100'000);
    CHECK(other.address() != made.address());
    gpu_of_test().copy_out(seen.bytes, other.address());
    CHECK(seen.bytes == content.bytes);
  }
}

TEST_CASE("what is under way when shared memory is unmapped still finds it") {
  const auto made = targets::cuda::SharedMemory::made(gpu_of_test(), 100'000);
  const UniqueFd descriptor = made.exported();
  const Tensor content = input(DType::f32, 25'000, "normal", 2);
  {
    const auto other = targets::cuda::SharedMemory::imported(gpu_of_test(), descriptor.get(), 100'000);
    const kiln::cuda::DriverApi& api = gpu_of_test().api();
    REQUIRE(api.cuMemcpyHtoD_v2(other.address(), content.bytes.data(), content.bytes.size()) == 0);
  }
  Tensor seen = Tensor::zeros(content.type);
  gpu_of_test().copy_out(seen.bytes, made.address());
  CHECK(seen.bytes == content.bytes);
}
