// Inputs and outputs that candidates are measured with on a GPU.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agents/graph/types.h"
#include "daemon/targets/cuda/device.h"
#include "daemon/worker/inside/candidate.h"
#include "daemon/worker/inside/gpu_pace.h"
#include "daemon/worker/inside/shared_arena.h"

namespace kiln::worker {

// Those of all subjects of a measurement: one is at work at a time, and what it left in an output is overwritten before
// the next call. Each input is a window in a buffer that is a little longer, and stands in another place of it, hence
// for other values, in every call: what a kernel remembers is of no use to it. The next measurement of such tensors has
// the same memory with other values: to ask the driver for gigabytes takes longer than to fill them. Of cold calls that
// follow each other each has another set of tensors, so many that the second-level cache has lost one when its turn
// comes again.
class GpuBuffers {
 public:
  explicit GpuBuffers(targets::cuda::Gpu& gpu) : gpu_(gpu) {}

  // A measurement begins; what its first subject is lent is filled for it.
  void begin() { filled_ = false; }
  // It has ended. More than a share of the device's memory is not kept: the oracle wants it too.
  void end();

  // The calls of the candidate use them. Throws Refused for other sizes than those of the measurement's first subject.
  void lend(std::uint64_t seed, bool cold, Candidate& candidate);
  // What one call reads and writes, and how many sets there are of it.
  [[nodiscard]] CallSets sets() const;
  // Its next call finds its inputs in other places, and leaves its outputs there too where calls are cold.
  void renew(Candidate& candidate);
  void poison_outputs(std::byte poison) const;

  // The next call has the arena's inputs.
  void restore(Candidate& candidate, std::span<const std::byte> arena, const ArenaLayout& layout) const;
  void restore(Candidate& candidate, const SharedArena& arena) const;
  // What that call left.
  void read_back(std::span<std::byte> arena, const ArenaLayout& layout) const;
  void read_back(const SharedArena& arena) const;

 private:
  void allocate(const std::vector<std::size_t>& inputs, const std::vector<std::size_t>& outputs, std::size_t sets);
  void use_first(Candidate& candidate) const;
  void free();
  void fill(graph::DType type, std::uint64_t seed, std::size_t input);
  void copy(kiln::cuda::DevicePointer to, kiln::cuda::DevicePointer from, std::size_t bytes) const;

  targets::cuda::Gpu& gpu_;
  std::vector<targets::cuda::DeviceMemory> inputs_, outputs_;
  std::vector<std::size_t> input_bytes_, output_bytes_;  // of one set; both empty: there are none
  std::size_t sets_ = 1;
  bool filled_ = false;                                  // for the measurement that is under way
  std::uint64_t turns_ = 0;
};

}  // namespace kiln::worker
