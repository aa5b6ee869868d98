#include "daemon/worker/device_oracle/device_array.h"

#include <algorithm>

#include "daemon/targets/cuda/oracle/kernels.h"

namespace kiln::worker::device {

using graph::Arithmetic;
using graph::DType;
using targets::cuda::DeviceMemory;

// The kernels know types by their numbers.
static_assert(static_cast<Int>(DType::f64) == kernels::type_f64 &&
              static_cast<Int>(DType::bf16) == kernels::type_bf16 &&
              static_cast<Int>(DType::i64) == kernels::type_i64 &&
              static_cast<Int>(DType::u8) == kernels::type_u8 &&
              static_cast<Int>(DType::boolean) == kernels::type_bool);

kernels::Carrier carrier_of(DType type, Arithmetic arithmetic) {
  if (!graph::is_float(type)) return kernels::carrier_i64;
  return arithmetic == Arithmetic::fp64 || type == DType::f64 ? kernels::carrier_f64 : kernels::carrier_f32;
}

std::size_t bytes_of(kernels::Carrier carrier) { return carrier == kernels::carrier_f32 ? 4 : 8; }

Grid collapsed(const Shape& extents, std::vector<Strides> strides) {
  Grid grid;
  grid.strides.resize(strides.size());
  for (std::size_t d = 0; d < extents.size(); ++d) {
    if (extents[d] == 1) continue;
    bool merges = !grid.extents.empty();
    for (std::size_t s = 0; merges && s < strides.size(); ++s)
      merges = grid.strides[s].back() == strides[s][d] * extents[d];
    if (!merges) grid.extents.push_back(1);
    grid.extents.back() *= extents[d];
    for (std::size_t s = 0; s < strides.size(); ++s) {
      if (merges) grid.strides[s].pop_back();
      grid.strides[s].push_back(strides[s][d]);
    }
  }
  if (grid.extents.empty()) {
    grid.extents.push_back(1);
    for (Strides& s : grid.strides) s.push_back(0);
  }
  return grid;
}

void fill(Int& rank, Int (&extent)[kernels::kRank], const Grid& grid) {
  if (grid.extents.size() > kernels::kRank)
    throw Error(ErrorCode::limit, "cannot evaluate on a GPU: an array has more than 8 dimensions");
  rank = static_cast<Int>(grid.extents.size());
  std::copy(grid.extents.begin(), grid.extents.end(), extent);
}

void fill(Int (&stride)[kernels::kRank], const Strides& from) { std::copy(from.begin(), from.end(), stride); }

Strides broadcast_strides(const Shape& from, const Shape& to) {
  const std::size_t missing = to.size() - from.size();
  Strides strides(to.size(), 0);
  std::int64_t stride = 1;
  for (std::size_t d = from.size(); d-- > 0; stride *= from[d])
    if (from[d] != 1) strides[missing + d] = stride;
  return strides;
}

Launcher::Launcher(targets::cuda::Gpu& gpu, kiln::cuda::Module module, Arithmetic arithmetic)
    : gpu_(gpu), module_(module), arithmetic_(arithmetic), fault_(gpu.allocate(sizeof(Int))) {
  const Int none = kernels::fault_none;
  gpu_.copy_in(fault_.address(), std::as_bytes(std::span(&none, 1)));
}

std::shared_ptr<const DeviceMemory> Launcher::take(std::size_t bytes) const {
  return std::make_shared<const DeviceMemory>(gpu_.allocate(bytes));
}

Array Launcher::make(const graph::TensorType& type) const {
  const kernels::Carrier carrier = carrier_of(type.dtype, arithmetic_);
  return {type, carrier, take(static_cast<std::size_t>(graph::element_count(type.shape)) * bytes_of(carrier))};
}

void Launcher::start(const std::string& name, void* arguments, std::int64_t count) const {
  constexpr std::int64_t threads = kernels::kBlockThreadsOfOracle;
  const std::int64_t most = std::int64_t{32} * std::max(1, gpu_.description().multiprocessors);
  const auto blocks = static_cast<unsigned>(std::clamp((count + threads - 1) / threads, std::int64_t{1}, most));
  kiln::cuda::Function function = nullptr;
  kiln::cuda::check(gpu_.api(), gpu_.api().cuModuleGetFunction(&function, module_, name.c_str()),
                    "find a kernel of the oracle");
  const kiln::cuda::LaunchConfig config = {blocks, 1, 1, static_cast<unsigned>(threads), 1, 1, 0, gpu_.stream(),
                                           nullptr, 0};
  void* parameters[] = {arguments};
  kiln::cuda::check(gpu_.api(), gpu_.api().cuLaunchKernelEx(&config, function, parameters, nullptr),
                    "run a kernel of the oracle");
  gpu_.synchronize();  // what it reads is given back with its scope
}

void Launcher::check_faults() const {
  Int fault = kernels::fault_none;
  gpu_.copy_out(std::as_writable_bytes(std::span(&fault, 1)), fault_.address());
  if (fault == kernels::fault_none) return;
  throw Error(ErrorCode::invalid_input, fault == kernels::fault_index
                                            ? "an index is outside its axis"
                                            : "cannot divide an integer: the divisor is zero");
}

namespace {

// Whether elements of the model's type are their own carriers.
bool is_own_carrier(DType type, kernels::Carrier carrier) {
  return (type == DType::f64 && carrier == kernels::carrier_f64) ||
         (type == DType::f32 && carrier == kernels::carrier_f32) || type == DType::i64 || type == DType::u64;
}

}  // namespace

Array widened(const Launcher& launcher, const graph::TensorType& type, std::shared_ptr<const DeviceMemory> elements) {
  const kernels::Carrier carrier = carrier_of(type.dtype, launcher.arithmetic());
  if (is_own_carrier(type.dtype, carrier)) return {type, carrier, std::move(elements)};
  Array array = launcher.make(type);
  const kernels::ConvertArguments given = {elements->pointer(), array.base(), static_cast<Int>(type.dtype),
                                           array.count()};
  launcher.launch("widen", carrier, given, array.count());
  return array;
}

Array uploaded(const Launcher& launcher, const graph::TensorType& type, std::span<const std::byte> bytes) {
  const auto elements = launcher.take(bytes.size());
  launcher.gpu().copy_in(elements->address(), bytes);
  return widened(launcher, type, elements);
}

graph::Tensor downloaded(const Launcher& launcher, const Array& array) {
  graph::TensorType type = array.type;
  if (array.carrier == kernels::carrier_f64) type.dtype = DType::f64;
  graph::Tensor out = graph::Tensor::zeros(type);
  if (is_own_carrier(type.dtype, array.carrier)) {
    launcher.gpu().copy_out(out.bytes, array.memory->address());
    return out;
  }
  const auto raw = launcher.take(out.bytes.size());
  const kernels::ConvertArguments given = {array.base(), raw->pointer(), static_cast<Int>(type.dtype), array.count()};
  launcher.launch("narrow", array.carrier, given, array.count());
  launcher.gpu().copy_out(out.bytes, raw->address());
  return out;
}

}  // namespace kiln::worker::device
