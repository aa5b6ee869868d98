#include "daemon/worker/device_oracle/device_judge.h"

#include <algorithm>

#include "daemon/worker/conditioning.h"
#include "daemon/worker/device_oracle/figures.h"
#include "daemon/worker/inputs.h"
#include "runtime/base/random.h"

namespace kiln::worker {

using device::Array;
using device::Launcher;
using device::Raw;

struct DeviceJudge::Evaluation {
  std::vector<std::shared_ptr<const targets::cuda::DeviceMemory>> inputs;  // as the model's types; empty: not kept
  device::Arrays expected, plain;
  std::vector<Conditioning> conditioning;  // of each output
  std::string digest, doubled_digest;      // of all expected outputs, and of those of doubled inputs

  [[nodiscard]] std::size_t bytes() const {
    std::size_t sum = 0;
    for (const auto& memory : inputs) sum += memory->bytes();
    for (const device::Arrays* arrays : {&expected, &plain})
      for (const Array& array : *arrays) sum += array.memory->bytes();
    return sum;
  }
};

namespace {

// One in so many bytes of the device may hold evaluations that wait to be asked for again: candidates, their arenas and
// the evaluation at work take several times as much as one that is kept.
constexpr std::int64_t kKeptPart = 8;

std::size_t bytes_of(const graph::TensorType& type) {
  return static_cast<std::size_t>(graph::element_count(type.shape)) * graph::size_of(type.dtype);
}

InputDraw drawing(const Question& question, std::size_t i) {
  const graph::Graph& g = question.graph;
  return draw_of(g.type(g.inputs[i]).dtype, graph::input_domains(g)[i], question.drawn_family(), question.seed, i);
}
int input_power(const Question& question, std::size_t i) {
  return question.is_doubled() ? question.powers->inputs[i] : 0;
}
int output_power(const Question& question, std::size_t o) {
  return question.is_doubled() ? question.powers->outputs[o] : 0;
}

Raw input_at(const Question& question, const std::byte* base, const ArenaLayout& layout, std::size_t i) {
  // One type for what is read and what is written; judge() only reads.
  return {question.graph.type(question.graph.inputs[i]), const_cast<std::byte*>(base) + layout.inputs[i].offset};
}
Raw output_at(const Question& question, const std::byte* base, const ArenaLayout& layout, std::size_t o) {
  return {question.graph.type(question.graph.outputs[o]), const_cast<std::byte*>(base) + layout.outputs[o].offset};
}

using InputMemory = std::vector<std::shared_ptr<const targets::cuda::DeviceMemory>>;

Raw raw_input(const Question& question, std::size_t i, const targets::cuda::DeviceMemory& memory) {
  return {question.graph.type(question.graph.inputs[i]), memory.pointer()};
}

InputMemory drawn(const Question& question, const Launcher& launcher) {
  InputMemory inputs;
  for (std::size_t i = 0; i < question.graph.inputs.size(); ++i) {
    inputs.push_back(launcher.take(bytes_of(question.graph.type(question.graph.inputs[i]))));
    device::draw(launcher, drawing(question, i), 0, raw_input(question, i, *inputs.back()));
  }
  return inputs;
}

// The inputs of an evaluation, of those that are kept or else drawn for it, moved with these seeds where there are any.
device::Inputs inputs_of(const Question& question, const Launcher& launcher, const InputMemory& kept,
                         const std::vector<std::uint64_t>& seeds) {
  InputMemory inputs = kept.empty() ? drawn(question, launcher) : kept;
  device::Inputs out;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Raw raw = raw_input(question, i, *inputs[i]);
    if (!seeds.empty() && !kept.empty() && graph::is_float(raw.type.dtype)) {
      const std::size_t bytes = bytes_of(raw.type);
      inputs[i] = launcher.take(bytes);
      device::copy(launcher, raw.base, inputs[i]->pointer(), bytes);
    }
    if (!seeds.empty()) device::nudge(launcher, seeds[i], raw_input(question, i, *inputs[i]));
    out.push_back(device::widened(launcher, raw.type, std::move(inputs[i])));
  }
  return out;
}

// Of a check's inputs, which no candidate is told.
device::HashKey key_of(const Question& question) {
  return {splitmix64(question.seed + 0x6b657965642d6869ull), splitmix64(question.seed + 0x736970686173682dull)};
}

// Of the expected outputs as the model's types hold them: what they do not tell apart, a right kernel need not either.
std::string digest_of(const Question& question, const Launcher& launcher, const device::Arrays& expected) {
  device::TreeHash hash(launcher, key_of(question));
  for (std::size_t o = 0; o < expected.size(); ++o) hash.add(expected[o], output_power(question, o));
  return hash.finish();
}

kiln::cuda::DevicePointer address_of(const void* pointer) {
  return reinterpret_cast<kiln::cuda::DevicePointer>(pointer);
}

std::int64_t broken_guard(const targets::cuda::Gpu& gpu, const std::byte* base, const ArenaLayout& layout,
                          std::byte poison) {
  for (const ArenaGap& gap : gaps_of(layout)) {
    std::vector<std::byte> found(gap.bytes);
    if (!found.empty()) gpu.copy_out(found, address_of(base + gap.offset));
    if (const std::int64_t at = broken_gap(found, gap, poison); at >= 0) return at;
  }
  return -1;
}

}  // namespace

DeviceJudge::DeviceJudge(const DeviceOracle& oracle) : oracle_(oracle) {}
DeviceJudge::~DeviceJudge() = default;

void DeviceJudge::forget() {
  kept_.clear();
  keeps_inputs_ = true;
}

void DeviceJudge::make_room() {
  kept_.clear();
  keeps_inputs_ = false;
}

void DeviceJudge::prepare(const Question& question) { (void)evaluation_of(question); }

DeviceJudge::Evaluation& DeviceJudge::evaluation_of(const Question& question) {
  const std::string key = question.evaluation();
  if (const auto found = kept_.find(key); found != kept_.end()) return *found->second;
  std::size_t bytes = 0;
  for (const auto& [name, one] : kept_) bytes += one->bytes();
  if (static_cast<std::int64_t>(bytes) > oracle_.gpu().description().memory_bytes / kKeptPart) kept_.clear();
  const graph::Graph& g = question.graph;
  const Launcher exact(oracle_.gpu(), oracle_.module(), graph::Arithmetic::fp64);
  const Launcher plain(oracle_.gpu(), oracle_.module(), graph::Arithmetic::model);
  auto made = std::make_unique<Evaluation>();
  if (keeps_inputs_) made->inputs = drawn(question, plain);
  made->expected = device::evaluate(g, inputs_of(question, exact, made->inputs, {}), exact);
  made->plain = device::evaluate(g, inputs_of(question, plain, made->inputs, {}), plain);
  const auto effective = [&](std::size_t o) { return device::effective_count(exact, made->expected[o]); };
  const auto differences = [&](const std::vector<std::uint64_t>& seeds) {
    const device::Arrays got = device::evaluate(g, inputs_of(question, plain, made->inputs, seeds), plain);
    std::vector<Conditioning> out;
    for (std::size_t o = 0; o < got.size(); ++o) out.push_back(device::difference(plain, got[o], made->expected[o]));
    return out;
  };
  made->conditioning =
      conditioning_of(g, is_large(question.drawn_family()), question.seed, effective, differences);
  allow_for_ties(
      g,
      DifferencesOf([&](const graph::Graph& nudged) {
        const device::Arrays got = device::evaluate(nudged, inputs_of(question, plain, made->inputs, {}), plain);
        std::vector<Conditioning> out;
        for (std::size_t o = 0; o < got.size(); ++o)
          out.push_back(device::difference(plain, got[o], made->expected[o]));
        return out;
      }),
      made->conditioning);
  return *kept_.emplace(key, std::move(made)).first->second;
}

void DeviceJudge::fill(const Question& question, std::byte* base, int copies) const {
  const targets::cuda::Gpu& gpu = oracle_.gpu();
  const Launcher launcher(oracle_.gpu(), oracle_.module(), graph::Arithmetic::model);
  const ArenaLayout layout = question.layout();
  const auto found = kept_.find(question.evaluation());
  const bool kept = found != kept_.end() && !found->second->inputs.empty();
  for (int copy = 0; copy < copies; ++copy) {
    std::byte* const arena = base + static_cast<std::size_t>(copy) * layout.total_bytes;
    for (const ArenaGap& gap : gaps_of(layout)) {
      std::vector<std::byte> painted(gap.bytes);
      paint_gap(painted, gap, question.poison);
      if (!painted.empty()) gpu.copy_in(address_of(arena + gap.offset), painted);
    }
    for (std::size_t i = 0; i < layout.inputs.size(); ++i) {
      const Raw to = input_at(question, arena, layout, i);
      if (copy > 0)
        device::copy(launcher, base + layout.inputs[i].offset, to.base, layout.inputs[i].bytes);
      else if (kept)
        device::rescale(launcher, raw_input(question, i, *found->second->inputs[i]), input_power(question, i), to);
      else
        device::draw(launcher, drawing(question, i), input_power(question, i), to);
    }
    for (const ArenaLayout::Window& output : layout.outputs)
      kiln::cuda::check(gpu.api(),
                        gpu.api().cuMemsetD8Async(address_of(arena + output.offset),
                                                  static_cast<unsigned char>(question.poison), output.bytes,
                                                  gpu.stream()),
                        "poison an output");
  }
  gpu.synchronize();
}

std::int64_t DeviceJudge::changed_input(const Question& question, const Evaluation& right, const std::byte* base,
                                        int copies) const {
  const Launcher launcher(oracle_.gpu(), oracle_.module(), graph::Arithmetic::model);
  const ArenaLayout layout = question.layout();
  std::int64_t changed = -1;
  for (std::size_t i = 0; i < layout.inputs.size(); ++i) {
    const Raw first = input_at(question, base, layout, i);
    const int power = input_power(question, i);
    const std::int64_t found = right.inputs.empty()
                                   ? device::first_redrawn(launcher, drawing(question, i), power, first)
                                   : device::first_unrescaled(launcher, raw_input(question, i, *right.inputs[i]), first,
                                                              power);
    bool intact = found < 0;
    for (int copy = 1; copy < copies && intact; ++copy)  // what is like an input that is intact is so too
      intact = device::first_different(launcher, first,
                                       input_at(question, base + static_cast<std::size_t>(copy) * layout.total_bytes,
                                                layout, i)) < 0;
    if (!intact) changed = static_cast<std::int64_t>(i);
  }
  return changed;
}

Findings DeviceJudge::judge(const Question& question, const std::byte* base, int copies) {
  Evaluation& right = evaluation_of(question);
  const Launcher launcher(oracle_.gpu(), oracle_.module(), graph::Arithmetic::model);
  const ArenaLayout layout = question.layout();
  Findings out;
  for (int copy = 0; copy < copies && out.guard < 0; ++copy)
    out.guard = broken_guard(oracle_.gpu(), base + static_cast<std::size_t>(copy) * layout.total_bytes, layout,
                             question.poison);
  out.input = changed_input(question, right, base, copies);
  device::TreeHash hash(launcher, key_of(question));
  for (std::size_t o = 0; o < layout.outputs.size(); ++o) {
    const Raw output = output_at(question, base, layout, o);
    for (int copy = 1; copy < copies; ++copy) {
      const std::byte* const other = base + static_cast<std::size_t>(copy) * layout.total_bytes;
      if (device::first_different(launcher, output, output_at(question, other, layout, o)) >= 0) out.unstable = true;
    }
    if (out.unwritten.output < 0)
      if (const std::int64_t i = device::first_poisoned(launcher, output, question.poison); i >= 0)
        out.unwritten = {static_cast<std::int64_t>(o), i};
    hash.add(output.base, static_cast<std::int64_t>(layout.outputs[o].bytes));
    agents::ErrorFact fact =
        device::compare(launcher, output, right.plain[o], right.expected[o], output_power(question, o));
    fact.normwise_plain = std::max(fact.normwise_plain, right.conditioning[o].normwise);
    fact.max_scaled_plain = std::max(fact.max_scaled_plain, right.conditioning[o].max_scaled);
    fact.family = question.family;
    fact.output = static_cast<std::int32_t>(o);
    out.errors.push_back(std::move(fact));
  }
  out.digest = hash.finish();
  std::string& digest = question.is_doubled() ? right.doubled_digest : right.digest;
  if (digest.empty()) digest = digest_of(question, launcher, right.expected);
  out.expected_digest = digest;
  out.undoubled = undoubled(question, base);
  out.evaluator = "GPU";
  return out;
}

OutputElement DeviceJudge::undoubled(const Question& question, const std::byte* base) {
  if (question.powers == nullptr) return {};
  const ArenaLayout layout = question.layout();
  const targets::cuda::Gpu& gpu = oracle_.gpu();
  if (question.family == "normal") {
    const Launcher launcher(oracle_.gpu(), oracle_.module(), graph::Arithmetic::model);
    last_.clear();
    for (const ArenaLayout::Window& output : layout.outputs) {
      last_.push_back(launcher.take(output.bytes));
      device::copy(launcher, base + output.offset, last_.back()->pointer(), output.bytes);
    }
    gpu.synchronize();
  }
  if (!question.is_doubled()) return {};
  if (last_.size() != layout.outputs.size())
    throw Error(ErrorCode::invalid_input, "cannot judge doubled inputs: those before were not judged");
  const Launcher launcher(oracle_.gpu(), oracle_.module(), graph::Arithmetic::model);
  for (std::size_t o = 0; o < last_.size(); ++o) {
    const Raw now = output_at(question, base, layout, o);
    if (last_[o]->bytes() != layout.outputs[o].bytes) return {static_cast<std::int64_t>(o), 0};
    const Raw before{now.type, last_[o]->pointer()};
    const std::int64_t i = device::first_unscaled(launcher, before, now, output_power(question, o));
    if (i >= 0) return {static_cast<std::int64_t>(o), i};
  }
  last_.clear();
  return {};
}

}  // namespace kiln::worker
