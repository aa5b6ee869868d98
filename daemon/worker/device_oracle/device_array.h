// Arrays in a GPU's memory and the kernels over them. Private to daemon/worker/device_oracle.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "agents/graph/interpreter.h"
#include "daemon/targets/cuda/device.h"
#include "daemon/targets/cuda/oracle/arguments.h"

namespace kiln::worker::device {

namespace kernels = targets::cuda::oracle;
using kernels::Int;
using graph::Shape;
using Strides = std::vector<std::int64_t>;

// Elements of a sum that one thread adds up.
inline constexpr std::int64_t kRun = 4096;

struct Array {
  graph::TensorType type;
  kernels::Carrier carrier = kernels::carrier_f64;
  std::shared_ptr<const targets::cuda::DeviceMemory> memory;

  [[nodiscard]] void* base() const { return memory->pointer(); }
  [[nodiscard]] std::int64_t count() const { return graph::element_count(type.shape); }
};
using Inputs = std::vector<Array>;

[[nodiscard]] kernels::Carrier carrier_of(graph::DType type, graph::Arithmetic arithmetic);
[[nodiscard]] std::size_t bytes_of(kernels::Carrier carrier);

// Extents without those of 1 and with neighbours merged where all strides allow it; rank at least 1.
struct Grid {
  Shape extents;
  std::vector<Strides> strides;
};
[[nodiscard]] Grid collapsed(const Shape& extents, std::vector<Strides> strides);
// Throws Error(limit) past kernels::kRank.
void fill(Int& rank, Int (&extent)[kernels::kRank], const Grid& grid);
void fill(Int (&stride)[kernels::kRank], const Strides& from);

// The strides with which an array of shape `from` is read over the broadcast shape `to`.
[[nodiscard]] Strides broadcast_strides(const Shape& from, const Shape& to);

class Launcher {
 public:
  Launcher(targets::cuda::Gpu& gpu, kiln::cuda::Module module, graph::Arithmetic arithmetic);

  [[nodiscard]] targets::cuda::Gpu& gpu() const { return gpu_; }
  [[nodiscard]] graph::Arithmetic arithmetic() const { return arithmetic_; }
  [[nodiscard]] Array make(const graph::TensorType& type) const;
  [[nodiscard]] std::shared_ptr<const targets::cuda::DeviceMemory> take(std::size_t bytes) const;
  template <class T>
  [[nodiscard]] std::shared_ptr<const targets::cuda::DeviceMemory> copied(const std::vector<T>& values) const {
    const auto memory = take(values.size() * sizeof(T));
    gpu_.copy_in(memory->address(), std::as_bytes(std::span(values)));
    return memory;
  }

  // Runs `name` over `count` elements. `arguments` is copied.
  template <class Arguments>
  void launch(const std::string& name, const Arguments& arguments, std::int64_t count) const {
    static_assert(sizeof(Arguments) % 8 == 0);
    Arguments copy = arguments;
    start(name, &copy, count);
  }
  // The kernel of that name for a carrier.
  template <class Arguments>
  void launch(const std::string& name, kernels::Carrier carrier, const Arguments& arguments, std::int64_t count) const {
    static constexpr const char* suffix[] = {"_f64", "_f32", "_i64"};
    launch(name + suffix[carrier], arguments, count);
  }
  [[nodiscard]] Int* fault() const { return static_cast<Int*>(fault_.pointer()); }
  // Throws Error(invalid_input) when a value had no result since the last call.
  void check_faults() const;

 private:
  void start(const std::string& name, void* arguments, std::int64_t count) const;

  targets::cuda::Gpu& gpu_;
  const kiln::cuda::Module module_;
  const graph::Arithmetic arithmetic_;
  targets::cuda::DeviceMemory fault_;
};

// Elements of the model's type as the carriers of an evaluation.
[[nodiscard]] Array widened(const Launcher& launcher, const graph::TensorType& type,
                            std::shared_ptr<const targets::cuda::DeviceMemory> elements);
// A tensor's bytes, and back: floats as f64 where that is the carrier.
[[nodiscard]] Array uploaded(const Launcher& launcher, const graph::TensorType& type, std::span<const std::byte> bytes);
[[nodiscard]] graph::Tensor downloaded(const Launcher& launcher, const Array& array);

using Arrays = std::vector<Array>;
// As DeviceOracle::evaluate, from arrays to arrays.
[[nodiscard]] Arrays evaluate(const graph::Graph& graph, Inputs inputs, const Launcher& launcher);

// One evaluation per kind, as in agents/graph/interpreter.
using Types = std::vector<graph::TensorType>;
[[nodiscard]] Arrays run(const graph::Pointwise& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Reduce& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Softmax& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::LayerNorm& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::MatMul& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Attention& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Convolution& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Window& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Scan& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Arg& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::TopK& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Scatter& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Gather& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Reshape& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Transpose& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Slice& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Expand& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Concat& op, const Inputs& in, const Types& out, const Launcher& launcher);
[[nodiscard]] Arrays run(const graph::Pad& op, const Inputs& in, const Types& out, const Launcher& launcher);

// Softmax along one dimension of x; also of attention's scores.
[[nodiscard]] Array softmax(const Launcher& launcher, const Array& x, std::size_t axis, bool log, Int type);

}  // namespace kiln::worker::device
