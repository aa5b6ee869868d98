#include "daemon/worker/inside/host_judge.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "daemon/worker/compare.h"
#include "daemon/worker/inputs.h"
#include "daemon/worker/memory.h"
#include "runtime/base/digest.h"
#include "runtime/base/parallel.h"

namespace kiln::worker {
namespace {

constexpr std::size_t kKeepBytes = std::size_t{8} << 30;  // of all evaluations; what is missed is made again

// Of the expected outputs as the model's types hold them: what they do not tell apart, a right kernel need not either.
std::string digest_of(const std::vector<graph::Tensor>& expected, const std::vector<graph::Tensor>& plain) {
  Sha256 digest;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    graph::Tensor rounded = graph::Tensor::zeros(plain[i].type);
    for (std::int64_t e = 0; e < rounded.count(); ++e)
      graph::store_double(rounded.type.dtype, rounded.bytes.data(), e,
                          graph::load_double(expected[i].type.dtype, expected[i].bytes.data(), e));
    digest.update(rounded.bytes);
  }
  return digest.finish_hex();
}

void multiply(graph::Tensor& t, int power) {
  if (power == 0 || !graph::is_float(t.type.dtype)) return;
  for (std::int64_t i = 0; i < t.count(); ++i)
    graph::store_double(t.type.dtype, t.bytes.data(), i,
                        std::ldexp(graph::load_double(t.type.dtype, t.bytes.data(), i), power));
}

// The first element of an output that is not 2^power times what it was; -1: there is none.
std::int64_t first_undoubled(graph::DType type, std::span<const std::byte> before, std::span<const std::byte> now,
                             int power) {
  const auto count = static_cast<std::int64_t>(now.size() / graph::size_of(type));
  for (std::int64_t i = 0; i < count; ++i) {
    const double wanted = std::ldexp(graph::load_double(type, before.data(), i), power);
    const double found = graph::load_double(type, now.data(), i);
    if (found != wanted && !(std::isnan(found) && std::isnan(wanted))) return i;
  }
  return -1;
}

}  // namespace

std::size_t HostJudge::Evaluation::bytes() const {
  std::size_t sum = 0;
  for (const auto* tensors : {&inputs, &expected, &plain})
    for (const graph::Tensor& tensor : *tensors) sum += tensor.bytes.size();
  return sum;
}

const HostJudge::Evaluation& HostJudge::evaluation_of(const Question& question, const std::string& family) {
  const graph::Graph& g = question.graph;
  const std::string key = question.graph_digest + "/" + family + "/" + std::to_string(question.seed);
  if (const auto found = kept_.find(key); found != kept_.end()) return found->second;
  if (family == "doubled" && question.powers != nullptr) {  // nothing has to be evaluated again
    Evaluation made = evaluation_of(question, "normal");
    for (std::size_t i = 0; i < made.inputs.size(); ++i) multiply(made.inputs[i], question.powers->inputs[i]);
    for (std::size_t o = 0; o < made.expected.size(); ++o) {
      multiply(made.expected[o], question.powers->outputs[o]);
      multiply(made.plain[o], question.powers->outputs[o]);
    }
    made.expected_digest = digest_of(made.expected, made.plain);
    return kept_.emplace(key, std::move(made)).first->second;
  }
  std::size_t bytes = 0;
  for (const auto& [name, one] : kept_) bytes += one.bytes();
  if (bytes > kKeepBytes) kept_.clear();
  Evaluation made;
  const std::vector<std::optional<graph::Domain>> domains = graph::input_domains(g);
  for (std::size_t i = 0; i < g.inputs.size(); ++i)
    made.inputs.push_back(make_input(g.type(g.inputs[i]), domains[i], family, question.seed, i, threads_));
  const auto plain = [&](const std::vector<graph::Tensor>& inputs) {
    return evaluator_.evaluate(g, inputs, graph::Arithmetic::model);
  };
  made.expected = evaluator_.evaluate(g, made.inputs, graph::Arithmetic::fp64);
  made.plain = plain(made.inputs);
  made.conditioning =
      conditioning_of(g, plain, made.inputs, made.expected, is_large(family), question.seed, threads_);
  allow_for_ties(
      g,
      [&](const graph::Graph& nudged) {
        return evaluator_.evaluate(nudged, made.inputs, graph::Arithmetic::model);
      },
      made.expected, made.conditioning);
  made.evaluator = evaluator_.told();
  made.expected_digest = digest_of(made.expected, made.plain);
  return kept_.emplace(key, std::move(made)).first->second;
}

UniqueFd HostJudge::arena(const Question& question) {
  const Evaluation& made = evaluation_of(question, question.family);
  const ArenaLayout layout = question.layout();
  UniqueFd fd = memory_file("arena", layout.total_bytes);
  Mapped arena(fd.get(), Mapped::Access::write);
  paint_arena(arena.writable(), layout, question.poison);
  for (std::size_t i = 0; i < made.inputs.size(); ++i) {
    const std::vector<std::byte>& from = made.inputs[i].bytes;
    std::byte* const to = arena.writable().data() + layout.inputs[i].offset;
    parallel(threads_, static_cast<std::int64_t>(from.size()), std::int64_t{1} << 24,
             [&](std::int64_t begin, std::int64_t end) { std::copy(&from[0] + begin, &from[0] + end, to + begin); });
  }
  return fd;
}

// Compares the outputs of a candidate over doubled inputs with those that it gave before.
OutputElement HostJudge::undoubled(const Question& question, std::span<const std::byte> arena,
                                   const ArenaLayout& layout) {
  if (question.powers == nullptr) return {};
  const auto output = [&](std::size_t o) { return arena.subspan(layout.outputs[o].offset, layout.outputs[o].bytes); };
  if (question.family == "normal") {
    last_.clear();
    for (std::size_t o = 0; o < layout.outputs.size(); ++o) last_.emplace_back(output(o).begin(), output(o).end());
  }
  if (!question.is_doubled()) return {};
  const graph::Graph& g = question.graph;
  if (last_.size() != g.outputs.size())
    throw Error(ErrorCode::invalid_input, "cannot judge doubled inputs: those before were not judged");
  for (std::size_t o = 0; o < last_.size(); ++o) {
    const std::int64_t element =
        last_[o].size() == output(o).size()
            ? first_undoubled(g.type(g.outputs[o]).dtype, last_[o], output(o), question.powers->outputs[o])
            : 0;
    if (element >= 0) return {static_cast<std::int64_t>(o), element};
  }
  return {};
}

Findings HostJudge::judge(const Question& question, int arena_file) {
  const Evaluation& made = evaluation_of(question, question.family);
  const ArenaLayout layout = question.layout();
  const Mapped arena(arena_file, Mapped::Access::read);
  if (arena.bytes().size() != layout.total_bytes)
    throw Error(ErrorCode::corrupt, "cannot judge an arena: its size is not what it was");
  Findings out;
  for (std::size_t i = 0; i < made.inputs.size(); ++i) {
    const auto now = arena.bytes().subspan(layout.inputs[i].offset, layout.inputs[i].bytes);
    if (std::memcmp(now.data(), made.inputs[i].bytes.data(), now.size()) != 0)
      out.input = static_cast<std::int64_t>(i);
  }
  Sha256 digest;
  std::vector<std::size_t> element_bytes;
  for (std::size_t i = 0; i < made.expected.size(); ++i) {
    const auto output = arena.bytes().subspan(layout.outputs[i].offset, layout.outputs[i].bytes);
    digest.update(output);
    agents::ErrorFact fact = compare_output(output, made.plain[i], made.expected[i], threads_);
    fact.normwise_plain = std::max(fact.normwise_plain, made.conditioning[i].normwise);
    fact.max_scaled_plain = std::max(fact.max_scaled_plain, made.conditioning[i].max_scaled);
    fact.family = question.family;
    fact.output = static_cast<std::int32_t>(i);
    out.errors.push_back(std::move(fact));
    element_bytes.push_back(graph::size_of(made.plain[i].type.dtype));
  }
  out.guard = broken_guard(arena.bytes(), layout, question.poison);
  out.unwritten = find_unwritten(arena.bytes(), layout, element_bytes, question.poison, threads_);
  out.undoubled = undoubled(question, arena.bytes(), layout);
  out.digest = digest.finish_hex();
  out.expected_digest = made.expected_digest;
  out.evaluator = made.evaluator;
  return out;
}

}  // namespace kiln::worker
