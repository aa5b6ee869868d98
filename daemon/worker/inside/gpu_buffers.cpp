#include "daemon/worker/inside/gpu_buffers.h"

#include <algorithm>
#include <numeric>
#include <thread>

#include "daemon/worker/inputs.h"
#include "runtime/base/random.h"

namespace kiln::worker {

using targets::cuda::DeviceMemory;
using targets::cuda::SharedMemory;

namespace {

// Values are made on the host up to this many bytes, and repeated on the device beyond.
constexpr std::size_t kMadeBytes = std::size_t{8} << 20;
constexpr std::size_t kStep = 256;   // bytes: the alignment of device memory
constexpr std::size_t kPlaces = 32;  // few, so that a warm cache stays warm
constexpr std::size_t kKeptShare = 8;
constexpr std::size_t kColdCaches = 4;  // that the sets of cold calls would fill
constexpr std::size_t kMostSets = 32;

// Of a tensor of one set, behind which the next set's begins.
std::size_t input_stride(std::size_t bytes) { return (bytes + kStep - 1) / kStep * kStep + kStep * kPlaces; }
std::size_t output_stride(std::size_t bytes) { return (bytes + kStep - 1) / kStep * kStep; }

std::size_t total(const std::vector<std::size_t>& inputs, const std::vector<std::size_t>& outputs) {
  return std::accumulate(outputs.begin(), outputs.end(), std::accumulate(inputs.begin(), inputs.end(), std::size_t{0}));
}

std::vector<std::size_t> bytes_of(const std::vector<kiln_tensor_info>& infos) {
  std::vector<std::size_t> out;
  for (const kiln_tensor_info& info : infos) out.push_back(static_cast<std::size_t>(info.bytes));
  return out;
}

}  // namespace

void GpuBuffers::end() {
  if (sets_ * sets().call_bytes > static_cast<std::size_t>(gpu_.description().memory_bytes) / kKeptShare) free();
}

CallSets GpuBuffers::sets() const {
  return {total(input_bytes_, output_bytes_), sets_, static_cast<std::size_t>(gpu_.description().l2_bytes)};
}

void GpuBuffers::lend(std::uint64_t seed, bool cold, Candidate& candidate) {
  const std::vector<std::size_t> inputs = bytes_of(candidate.inputs()), outputs = bytes_of(candidate.outputs());
  const std::size_t wanted = kColdCaches * static_cast<std::size_t>(gpu_.description().l2_bytes);
  const std::size_t sets =
      cold ? std::clamp<std::size_t>(wanted / std::max<std::size_t>(1, total(inputs, outputs)), 1, kMostSets) : 1;
  const bool fit = inputs == input_bytes_ && outputs == output_bytes_ && sets == sets_;
  if (filled_ && !fit) throw Refused{"the plan has other inputs or outputs than those it is measured with"};
  if (!filled_ && !fit) allocate(inputs, outputs, sets);
  if (!filled_) {
    const std::vector<kiln_tensor_info> infos = candidate.inputs();
    for (std::size_t i = 0; i < infos.size(); ++i) fill(static_cast<graph::DType>(infos[i].dtype), seed, i);
    filled_ = true;
  }
  for (const DeviceMemory& input : inputs_) candidate.add_input(input.pointer());
  for (const DeviceMemory& output : outputs_) candidate.add_output(output.pointer());
}

void GpuBuffers::renew(Candidate& candidate) {
  ++turns_;
  const std::size_t set = turns_ % sets_;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const std::size_t place = kStep * (splitmix64(turns_ + i * 0x9e3779b97f4a7c15ull) % kPlaces);
    candidate.move_input(i, inputs_[i].pointer(set * input_stride(input_bytes_[i]) + place));
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i)
    candidate.move_output(i, outputs_[i].pointer(set * output_stride(output_bytes_[i])));
}

void GpuBuffers::use_first(Candidate& candidate) const {
  for (std::size_t i = 0; i < inputs_.size(); ++i) candidate.move_input(i, inputs_[i].pointer());
  for (std::size_t i = 0; i < outputs_.size(); ++i) candidate.move_output(i, outputs_[i].pointer());
}

void GpuBuffers::poison_outputs(std::byte poison) const {
  for (const DeviceMemory& output : outputs_)
    kiln::cuda::check(
        gpu_.api(),
        gpu_.api().cuMemsetD8Async(output.address(), static_cast<unsigned char>(poison), output.bytes(), gpu_.stream()),
        "poison an output");
}

void GpuBuffers::restore(Candidate& candidate, std::span<const std::byte> arena, const ArenaLayout& layout) const {
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    gpu_.copy_in(inputs_[i].address(), arena.subspan(layout.inputs.at(i).offset, layout.inputs[i].bytes));
  use_first(candidate);
}

void GpuBuffers::restore(Candidate& candidate, const SharedArena& arena) const {
  const SharedMemory memory = arena.mapped(gpu_);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const ArenaLayout::Window& window = arena.layout().inputs.at(i);
    copy(inputs_[i].address(), memory.address() + window.offset, window.bytes);
  }
  use_first(candidate);
  gpu_.synchronize();
}

void GpuBuffers::read_back(std::span<std::byte> arena, const ArenaLayout& layout) const {
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    gpu_.copy_out(arena.subspan(layout.inputs.at(i).offset, layout.inputs[i].bytes), inputs_[i].address());
  for (std::size_t i = 0; i < outputs_.size(); ++i)
    gpu_.copy_out(arena.subspan(layout.outputs.at(i).offset, layout.outputs[i].bytes), outputs_[i].address());
}

void GpuBuffers::read_back(const SharedArena& arena) const {
  const SharedMemory memory = arena.mapped(gpu_);
  const auto leave = [&](const ArenaLayout::Window& window, const DeviceMemory& from) {
    copy(memory.address() + window.offset, from.address(), window.bytes);
  };
  for (std::size_t i = 0; i < inputs_.size(); ++i) leave(arena.layout().inputs.at(i), inputs_[i]);
  for (std::size_t i = 0; i < outputs_.size(); ++i) leave(arena.layout().outputs.at(i), outputs_[i]);
  gpu_.synchronize();
}

// The sizes are known last: what an earlier attempt had memory for is no set of buffers.
void GpuBuffers::allocate(const std::vector<std::size_t>& inputs, const std::vector<std::size_t>& outputs,
                          std::size_t sets) {
  free();
  for (const std::size_t bytes : inputs) inputs_.push_back(gpu_.allocate(sets * input_stride(bytes)));
  for (const std::size_t bytes : outputs) outputs_.push_back(gpu_.allocate(sets * output_stride(bytes)));
  input_bytes_ = inputs;
  output_bytes_ = outputs;
  sets_ = sets;
}

void GpuBuffers::free() {
  inputs_.clear();
  outputs_.clear();
  input_bytes_.clear();
  output_bytes_.clear();
  sets_ = 1;
}

void GpuBuffers::fill(graph::DType type, std::uint64_t seed, std::size_t input) {
  const DeviceMemory& memory = inputs_[input];
  const std::size_t bytes = memory.bytes(), made = std::min(bytes / sets_, kMadeBytes) / kStep * kStep;
  const graph::Tensor values =
      make_input({type, {static_cast<std::int64_t>(made / graph::size_of(type))}}, std::nullopt, "normal", seed, input,
                 static_cast<int>(std::thread::hardware_concurrency()));
  gpu_.copy_in(memory.address(), std::span(values.bytes).first(made));
  for (std::size_t at = made; at < bytes;) {
    const std::size_t part = std::min(at, bytes - at);
    copy(memory.address() + at, memory.address(), part);
    at += part;
  }
  gpu_.synchronize();
}

void GpuBuffers::copy(kiln::cuda::DevicePointer to, kiln::cuda::DevicePointer from, std::size_t bytes) const {
  kiln::cuda::check(gpu_.api(), gpu_.api().cuMemcpyDtoDAsync_v2(to, from, bytes, gpu_.stream()), "copy a tensor");
}

}  // namespace kiln::worker
