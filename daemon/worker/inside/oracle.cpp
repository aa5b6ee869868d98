// oracle: holds no generated code. Four requests:
//   graph   {graph: digest} + graph JSON and constants       -> {doubles, wants_kernels_for?}   keeps the graph
//   kernels + the oracle's kernels for that GPU              -> {}
//   arena   {graph, family, seed, poison, at_end}            -> {layout} + arena file; inputs made, outputs poisoned
//   judge   {graph, family, seed, poison, at_end} + arena file
//           -> {guard, input, unwritten, undoubled, digest, expected_digest, errors, evaluator}
// The family "doubled", where `doubles`: inputs of "normal" times two (agents/graph/homogeneity.h); `undoubled` is then
// the first element that is not exactly what the arena of "normal" judged last had there, times its power of two.
// Expected outputs are computed once per (graph, family, seed) and never leave this process.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

#include "agents/graph/homogeneity.h"
#include "agents/graph/serialize.h"
#include "daemon/worker/arena.h"
#include "daemon/worker/compare.h"
#include "daemon/worker/conditioning.h"
#include "daemon/worker/inputs.h"
#include "daemon/worker/inside/evaluator.h"
#include "daemon/worker/inside/gpu_role.h"
#include "daemon/worker/inside/role.h"
#include "daemon/worker/memory.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"
#include "runtime/base/parallel.h"

namespace kiln::worker {
namespace {

// What one family of inputs gives.
struct Case {
  std::vector<graph::Tensor> inputs, expected, plain;
  std::vector<Conditioning> conditioning;  // of each output
  std::string expected_digest;             // of all outputs as they are expected
  std::string evaluator;

  [[nodiscard]] std::size_t bytes() const {
    std::size_t sum = 0;
    for (const auto* tensors : {&inputs, &expected, &plain})
      for (const graph::Tensor& tensor : *tensors) sum += tensor.bytes.size();
    return sum;
  }
};

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

// The case of the doubled inputs: nothing has to be evaluated again.
Case doubled(Case made, const graph::Homogeneity& powers) {
  for (std::size_t i = 0; i < made.inputs.size(); ++i) multiply(made.inputs[i], powers.inputs[i]);
  for (std::size_t o = 0; o < made.expected.size(); ++o) {
    multiply(made.expected[o], powers.outputs[o]);
    multiply(made.plain[o], powers.outputs[o]);
  }
  made.expected_digest = digest_of(made.expected, made.plain);
  return made;
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

class Oracle {
 public:
  explicit Oracle(Evaluator evaluator) : evaluator_(std::move(evaluator)), threads_(evaluator_.threads()) {}

  Frame handle(Frame request) {
    const std::string op = json::get_string(request.body, "op", "an oracle request");
    if (op == "graph") return keep_graph(request);
    if (op == "kernels") {
      evaluator_.take_kernels(std::string(Mapped(request.fds.at(0).get(), Mapped::Access::read, 64u << 20).text()));
      return {};
    }
    if (op == "arena") return make_arena(request);
    if (op == "judge") return judge(request);
    throw Error(ErrorCode::invalid_input, "cannot answer the oracle request '" + op + "'");
  }

 private:
  Frame keep_graph(Frame& request) {
    const std::string digest = json::get_string(request.body, "graph", "an oracle request");
    const Mapped text(request.fds.at(0).get(), Mapped::Access::read);
    const auto constants = request.fds.size() > 1 ? std::make_shared<Mapped>(request.fds[1].get(), Mapped::Access::read)
                                                  : std::make_shared<Mapped>();
    const json::value parsed = json::parse(text.text(), "a graph", {.bytes = std::size_t{256} << 20, .depth = 32});
    if (graphs_.size() >= kKeep) {  // earlier regions are done with
      graphs_.clear();
      cases_.clear();
      powers_.clear();
    }
    const graph::Graph& kept =
        graphs_.insert_or_assign(digest, graph::graph_from_json(parsed, constants, constants->bytes())).first->second;
    powers_.erase(digest);
    if (auto powers = graph::homogeneity_of(kept)) powers_.emplace(digest, std::move(*powers));
    Frame reply;
    reply.body = {{"doubles", powers_.count(digest) != 0}};
    const std::string architecture = evaluator_.wants_kernels_for(kept);
    if (!architecture.empty()) reply.body["wants_kernels_for"] = architecture;
    return reply;
  }

  const graph::Graph& graph_of(const Frame& request) const {
    const auto found = graphs_.find(json::get_string(request.body, "graph", "an oracle request"));
    if (found == graphs_.end())
      throw Error(ErrorCode::not_found, "cannot answer the oracle request: its graph was not given");
    return found->second;
  }

  // Its powers of two; null when it is not homogeneous.
  const graph::Homogeneity* powers_of(const Frame& request) const {
    const auto found = powers_.find(json::get_string(request.body, "graph", "an oracle request"));
    return found == powers_.end() ? nullptr : &found->second;
  }

  const Case& case_of(const Frame& request) {
    return case_of(request, json::get_string(request.body, "family", "an oracle request"));
  }

  const Case& case_of(const Frame& request, const std::string& family) {
    const graph::Graph& g = graph_of(request);
    const auto seed = static_cast<std::uint64_t>(json::get_int(request.body, "seed", "an oracle request"));
    const std::string key =
        json::get_string(request.body, "graph", "an oracle request") + "/" + family + "/" + std::to_string(seed);
    if (const auto found = cases_.find(key); found != cases_.end()) return found->second;
    const graph::Homogeneity* powers = powers_of(request);
    if (family == "doubled" && powers != nullptr)
      return cases_.emplace(key, doubled(case_of(request, "normal"), *powers)).first->second;
    std::size_t kept = 0;
    for (const auto& [name, one] : cases_) kept += one.bytes();
    if (kept > kKeepBytes) cases_.clear();
    Case made;
    const std::vector<std::optional<graph::Domain>> domains = graph::input_domains(g);
    for (std::size_t i = 0; i < g.inputs.size(); ++i)
      made.inputs.push_back(make_input(g.type(g.inputs[i]), domains[i], family, seed, i, threads_));
    const auto plain = [&](const std::vector<graph::Tensor>& inputs) {
      return evaluator_.evaluate(g, inputs, graph::Arithmetic::model);
    };
    made.expected = evaluator_.evaluate(g, made.inputs, graph::Arithmetic::fp64);
    made.plain = plain(made.inputs);
    made.conditioning = conditioning_of(g, plain, made.inputs, made.expected, is_large(family), seed, threads_);
    made.evaluator = evaluator_.told();
    made.expected_digest = digest_of(made.expected, made.plain);
    return cases_.emplace(key, std::move(made)).first->second;
  }

  // Compares the outputs of a candidate over doubled inputs with those that it gave before; [output, element].
  json::array undoubled(const Frame& request, const std::string& family, std::span<const std::byte> arena,
                        const ArenaLayout& layout) {
    const graph::Homogeneity* powers = powers_of(request);
    if (powers == nullptr) return {-1, 0};
    const auto output = [&](std::size_t o) { return arena.subspan(layout.outputs[o].offset, layout.outputs[o].bytes); };
    if (family == "normal") {
      last_.clear();
      for (std::size_t o = 0; o < layout.outputs.size(); ++o) last_.emplace_back(output(o).begin(), output(o).end());
    }
    if (family != "doubled") return {-1, 0};
    const graph::Graph& g = graph_of(request);
    if (last_.size() != g.outputs.size())
      throw Error(ErrorCode::invalid_input, "cannot judge doubled inputs: those before were not judged");
    for (std::size_t o = 0; o < last_.size(); ++o) {
      const std::int64_t element =
          last_[o].size() == output(o).size()
              ? first_undoubled(g.type(g.outputs[o]).dtype, last_[o], output(o), powers->outputs[o])
              : 0;
      if (element >= 0) return {static_cast<std::int64_t>(o), element};
    }
    return {-1, 0};
  }

  static ArenaLayout layout_of(const graph::Graph& g, const Frame& request) {
    std::vector<graph::TensorType> inputs, outputs;
    for (const graph::ValueId id : g.inputs) inputs.push_back(g.type(id));
    for (const graph::ValueId id : g.outputs) outputs.push_back(g.type(id));
    const bool at_end = json::get_bool(request.body, "at_end", "an oracle request");
    return layout_arena(inputs, outputs, at_end ? Edge::end : Edge::begin);
  }

  Frame make_arena(const Frame& request) {
    const Case& made = case_of(request);
    const ArenaLayout layout = layout_of(graph_of(request), request);
    UniqueFd fd = memory_file("arena", layout.total_bytes);
    Mapped arena(fd.get(), Mapped::Access::write);
    paint_arena(arena.writable(), layout,
                static_cast<std::byte>(json::get_int(request.body, "poison", "an oracle request")));
    for (std::size_t i = 0; i < made.inputs.size(); ++i) {
      const std::vector<std::byte>& from = made.inputs[i].bytes;
      std::byte* const to = arena.writable().data() + layout.inputs[i].offset;
      parallel(threads_, static_cast<std::int64_t>(from.size()), std::int64_t{1} << 24,
               [&](std::int64_t begin, std::int64_t end) { std::copy(&from[0] + begin, &from[0] + end, to + begin); });
    }
    Frame reply;
    reply.body = {{"layout", to_json(layout)}};
    reply.fds.push_back(std::move(fd));
    return reply;
  }

  Frame judge(const Frame& request) {
    const Case& made = case_of(request);
    const ArenaLayout layout = layout_of(graph_of(request), request);
    const Mapped arena(request.fds.at(0).get(), Mapped::Access::read);
    if (arena.bytes().size() != layout.total_bytes)
      throw Error(ErrorCode::corrupt, "cannot judge an arena: its size is not what it was");
    Sha256 digest;
    json::array errors;
    std::int64_t changed_input = -1;
    for (std::size_t i = 0; i < made.inputs.size(); ++i) {
      const auto now = arena.bytes().subspan(layout.inputs[i].offset, layout.inputs[i].bytes);
      if (std::memcmp(now.data(), made.inputs[i].bytes.data(), now.size()) != 0)
        changed_input = static_cast<std::int64_t>(i);
    }
    const std::string family = json::get_string(request.body, "family", "an oracle request");
    for (std::size_t i = 0; i < made.expected.size(); ++i) {
      const auto output = arena.bytes().subspan(layout.outputs[i].offset, layout.outputs[i].bytes);
      digest.update(output);
      agents::ErrorFact fact = compare_output(output, made.plain[i], made.expected[i], threads_);
      fact.normwise_plain = std::max(fact.normwise_plain, made.conditioning[i].normwise);
      fact.max_scaled_plain = std::max(fact.max_scaled_plain, made.conditioning[i].max_scaled);
      fact.family = family;
      fact.output = static_cast<std::int32_t>(i);
      agents::CheckFact one;
      one.errors = {fact};
      errors.emplace_back(agents::to_json(one).at("errors").as_array().at(0));
    }
    Frame reply;
    std::vector<std::size_t> element_bytes;
    for (const graph::Tensor& plain : made.plain) element_bytes.push_back(graph::size_of(plain.type.dtype));
    const auto poison = static_cast<std::byte>(json::get_int(request.body, "poison", "an oracle request"));
    const OutputElement unwritten = find_unwritten(arena.bytes(), layout, element_bytes, poison, threads_);
    reply.body = {{"unwritten", json::array{unwritten.output, unwritten.element}},
                  {"undoubled", undoubled(request, family, arena.bytes(), layout)},
                  {"guard", broken_guard(arena.bytes(), layout, poison)},
                  {"input", changed_input},
                  {"digest", digest.finish_hex()},
                  {"expected_digest", made.expected_digest},
                  {"errors", errors},
                  {"evaluator", made.evaluator}};
    return reply;
  }

  static constexpr std::size_t kKeep = 8;
  static constexpr std::size_t kKeepBytes = std::size_t{8} << 30;  // of all cases; what is missed is made again
  Evaluator evaluator_;
  const int threads_;
  std::map<std::string, graph::Graph> graphs_;
  std::map<std::string, Case> cases_;
  std::map<std::string, graph::Homogeneity> powers_;  // of the graphs that have any
  std::vector<std::vector<std::byte>> last_;          // the outputs over inputs of "normal" that were judged last
};

}  // namespace

namespace {

Role role_of(SandboxRules rules, Evaluator evaluator) {
  Role role;
  role.rules = std::move(rules);
  role.rules.file_bytes = std::int64_t{1} << 36;
  const auto oracle = std::make_shared<Oracle>(std::move(evaluator));
  role.handle = [oracle](Frame request) { return oracle->handle(std::move(request)); };
  return role;
}

int threads_of(const std::string& argument) { return std::max(1, std::atoi(argument.c_str())); }

}  // namespace

Role oracle_role(const std::vector<std::string>& arguments) {
  return role_of({}, Evaluator(threads_of(arguments.at(0))));
}

Role oracle_cuda_role(const std::vector<std::string>& arguments) {
  return role_of(gpu_rules(arguments.at(1)),
                 Evaluator(threads_of(arguments.at(0)), std::strtod(arguments.at(2).c_str(), nullptr)));
}

}  // namespace kiln::worker
