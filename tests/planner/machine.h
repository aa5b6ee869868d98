// Executes a Plan's buffers and launches for real, in one arena per kind, with each launch computing its region's body
// by the interpreter: a buffer that is overwritten too early, or read too soon, shows as a wrong value.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "agents/graph/interpreter.h"
#include "agents/graph/serialize.h"
#include "agents/planner/planner.h"
#include "agents/region/kernel.h"

namespace kiln::agents::machine {

// A stand-in for what the writer renders: a launch that copies the first input, one that reads the copy, the other
// inputs and a prepared copy of each weight, writes the outputs and has scratch.
inline BuiltKernel fake_kernel(const Region& region, std::size_t index) {
  BuiltKernel built;
  RenderedKernel& k = built.kernel;
  RenderedLaunch stage, run, prepare;
  stage.symbol = "stage";
  run.symbol = "run";
  prepare.symbol = "prepare";
  for (std::size_t i = 0; i < region.body.inputs.size(); ++i) {
    const graph::TensorType& type = region.body.type(region.body.inputs[i]);
    const std::int64_t bytes = graph::element_count(type.shape) * static_cast<std::int64_t>(graph::size_of(type.dtype));
    if (!region.weight[i] && stage.args.empty()) {
      k.temporary_bytes = {bytes};
      stage.args = {{RenderedArg::Kind::input, static_cast<std::int32_t>(i)}, {RenderedArg::Kind::temporary, 0}};
      run.args.push_back(stage.args.back());
      continue;
    }
    if (!region.weight[i]) {
      run.args.push_back({RenderedArg::Kind::input, static_cast<std::int32_t>(i)});
      continue;
    }
    const auto slot = static_cast<std::int32_t>(k.prepared_bytes.size());
    k.prepared_bytes.push_back(bytes);
    prepare.args.push_back({RenderedArg::Kind::input, static_cast<std::int32_t>(i)});
    prepare.args.push_back({RenderedArg::Kind::prepared, slot});
    run.args.push_back({RenderedArg::Kind::prepared, slot});
  }
  for (std::size_t o = 0; o < region.body.outputs.size(); ++o)
    run.args.push_back({RenderedArg::Kind::output, static_cast<std::int32_t>(o)});
  run.scratch_bytes = 72;
  run.tasks = 1 + static_cast<std::int64_t>(index % 2);
  if (!stage.args.empty()) k.run = {stage};
  k.run.push_back(run);
  if (!prepare.args.empty()) k.prepare = {prepare};
  k.cpu_features = {index % 2 == 0 ? "fma" : "avx2"};
  built.object = std::string(63, '0') + static_cast<char>('a' + index % 3);
  return built;
}

inline std::vector<BuiltKernel> fake_kernels(const Partition& p) {
  std::vector<BuiltKernel> out;
  for (std::size_t i = 0; i < p.regions.size(); ++i) out.push_back(fake_kernel(p.regions[i], i));
  return out;
}

// How many instances of regions it runs, whatever launches each takes.
inline std::int64_t computed(const Plan& plan) {
  return std::count_if(plan.run.begin(), plan.run.end(), [](const PlanLaunch& l) { return l.symbol == "run"; });
}

class Machine {
 public:
  Machine(const graph::Graph& g, const Partition& partition, const Plan& plan)
      : partition_(partition), plan_(plan), prepared_(static_cast<std::size_t>(plan.prepared_bytes), std::byte{0xee}),
        temporary_(static_cast<std::size_t>(plan.temporary_bytes), std::byte{0xee}) {
    const std::string blob = graph::constant_blob(g, graph::layout_constants(g));
    const auto bytes = std::as_bytes(std::span(blob));
    constants_.assign(bytes.begin(), bytes.end());
    REQUIRE(static_cast<std::int64_t>(constants_.size()) == plan.constants_bytes);
    for (const PlanLaunch& l : plan.prepare) {
      for (std::size_t i = 0; i + 1 < l.args.size(); i += 2) {
        const PlanBuffer& from = buffer(l.args[i]);
        REQUIRE(from.kind == PlanBuffer::Kind::constant);
        REQUIRE(buffer(l.args[i + 1]).kind == PlanBuffer::Kind::prepared);
        std::memcpy(at(l.args[i + 1]), at(l.args[i]), static_cast<std::size_t>(from.bytes));
      }
    }
  }

  std::vector<graph::Tensor> run(const std::vector<graph::Tensor>& inputs) {
    inputs_ = inputs;
    outputs_.clear();
    for (const PlanTensor& t : plan_.outputs) {
      outputs_.push_back(graph::Tensor::zeros(t.type));
      std::fill(outputs_.back().bytes.begin(), outputs_.back().bytes.end(), std::byte{0xee});
    }
    for (const PlanLaunch& l : plan_.run) launch(l);
    return outputs_;
  }

 private:
  const PlanBuffer& buffer(std::int32_t id) const { return plan_.buffers.at(static_cast<std::size_t>(id)); }

  std::byte* at(std::int32_t id) {
    const PlanBuffer& b = buffer(id);
    std::vector<std::byte>* arenas[] = {nullptr, nullptr, &constants_, &prepared_, &temporary_};
    if (b.kind == PlanBuffer::Kind::input) return inputs_.at(static_cast<std::size_t>(b.index)).bytes.data();
    if (b.kind == PlanBuffer::Kind::output) return outputs_.at(static_cast<std::size_t>(b.index)).bytes.data();
    std::vector<std::byte>& arena = *arenas[static_cast<std::size_t>(b.kind)];
    REQUIRE(b.offset % 64 == 0);
    REQUIRE(b.offset + b.bytes <= static_cast<std::int64_t>(arena.size()));
    return arena.data() + b.offset;
  }

  void launch(const PlanLaunch& l) {
    if (l.symbol == "stage") {
      std::memmove(at(l.args.at(1)), at(l.args.at(0)), static_cast<std::size_t>(buffer(l.args[1]).bytes));
      return;
    }
    const RegionInstance& instance = partition_.instances.at(static_cast<std::size_t>(l.instance));
    const Region& region = partition_.regions.at(static_cast<std::size_t>(instance.region));
    std::vector<graph::Tensor> in;
    std::size_t arg = 0;
    for (std::size_t i = 0; i < region.body.inputs.size(); ++i, ++arg) {
      graph::Tensor t = graph::Tensor::zeros(region.body.type(region.body.inputs[i]));
      REQUIRE(buffer(l.args.at(arg)).bytes >= static_cast<std::int64_t>(t.bytes.size()));
      std::memcpy(t.bytes.data(), at(l.args[arg]), t.bytes.size());
      in.push_back(std::move(t));
    }
    // The kernel's threads may scribble on their scratch, and may write outputs before they have read all inputs.
    REQUIRE(l.scratch_offset.value() % 64 == 0);
    const auto scratch = static_cast<std::size_t>(*l.scratch_offset);
    const auto threads = static_cast<std::size_t>(l.tasks > 1 ? plan_.threads : 1);
    REQUIRE(scratch + 128 * threads <= temporary_.size());
    std::memset(temporary_.data() + scratch, 0xdd, 128 * threads);
    const std::size_t first_output = arg;
    for (std::size_t o = first_output; o < l.args.size(); ++o)
      std::memset(at(l.args[o]), 0xdd, static_cast<std::size_t>(buffer(l.args[o]).bytes));
    for (std::size_t i = 0; i < in.size(); ++i)
      REQUIRE(std::memcmp(in[i].bytes.data(), at(l.args[i]), in[i].bytes.size()) == 0);  // nothing that lives was hit
    const std::vector<graph::Tensor> out = graph::evaluate(region.body, in, graph::Arithmetic::model);
    for (std::size_t o = 0; o < out.size(); ++o)
      std::memcpy(at(l.args.at(first_output + o)), out[o].bytes.data(), out[o].bytes.size());
  }

  const Partition& partition_;
  const Plan& plan_;
  std::vector<std::byte> constants_, prepared_, temporary_;
  std::vector<graph::Tensor> inputs_, outputs_;
};

}  // namespace kiln::agents::machine
