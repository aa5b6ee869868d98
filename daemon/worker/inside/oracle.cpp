// oracle: holds no generated code. Five requests:
//   graph   {graph: digest} + graph JSON and constants       -> {doubles, wants_kernels_for?}   keeps the graph
//   kernels + the oracle's kernels for that GPU              -> {}
//   arena   {graph, family, seed, poison, at_end, calls, unshared}
//           -> {layout} + arena file; or {layout, shared: {id, bytes, arenas}} + a descriptor of the GPU's memory
//   judge   the same, and {arena: id} or + arena file        -> findings (daemon/worker/findings.h), or {again: why}
//   forget  -> {}      gives back the GPU's memory of arenas that were not judged
// Where a GPU evaluates the graph, everything stays there (device_judge.h) and an arena is its memory, shared with the
// process that runs the candidate: one arena for each of `calls`. Where the driver cannot share memory (`unshared` says
// what the other process found), or has not enough, arenas are memory files and the CPU compares (host_judge.h).
// Expected outputs never leave this process.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>

#include "agents/graph/homogeneity.h"
#include "agents/graph/serialize.h"
#include "daemon/targets/cuda/shared_memory.h"
#include "daemon/worker/device_oracle/device_judge.h"
#include "daemon/worker/inside/evaluator.h"
#include "daemon/worker/inside/gpu_role.h"
#include "daemon/worker/inside/host_judge.h"
#include "daemon/worker/inside/role.h"
#include "daemon/worker/memory.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

using targets::cuda::SharedMemory;

constexpr const char* kWhat = "an oracle request";

class Oracle {
 public:
  explicit Oracle(Evaluator evaluator) : evaluator_(std::move(evaluator)), host_(evaluator_) {}

  Frame handle(Frame request) {
    const std::string op = json::get_string(request.body, "op", kWhat);
    if (op == "graph") return keep_graph(request);
    if (op == "kernels") {
      device_.reset();  // its evaluations are of the kernels before
      evaluator_.take_kernels(std::string(Mapped(request.fds.at(0).get(), Mapped::Access::read, 64u << 20).text()));
      return {};
    }
    if (op == "arena") return make_arena(request);
    if (op == "judge") return judge(request);
    if (op == "forget") {
      arenas_.clear();
      return {};
    }
    throw Error(ErrorCode::invalid_input, "cannot answer the oracle request '" + op + "'");
  }

 private:
  Frame keep_graph(Frame& request) {
    const std::string digest = json::get_string(request.body, "graph", kWhat);
    const Mapped text(request.fds.at(0).get(), Mapped::Access::read);
    const auto constants = request.fds.size() > 1 ? std::make_shared<Mapped>(request.fds[1].get(), Mapped::Access::read)
                                                  : std::make_shared<Mapped>();
    const json::value parsed = json::parse(text.text(), "a graph", {.bytes = std::size_t{256} << 20, .depth = 32});
    if (graphs_.size() >= kKeep) forget_graphs();  // earlier regions are done with
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

  void forget_graphs() {
    graphs_.clear();
    powers_.clear();
    kept_on_host_.clear();
    host_.forget();
    if (device_) device_->forget();
  }

  Question question_of(const Frame& request) const {
    const std::string digest = json::get_string(request.body, "graph", kWhat);
    const auto found = graphs_.find(digest);
    if (found == graphs_.end())
      throw Error(ErrorCode::not_found, "cannot answer the oracle request: its graph was not given");
    const auto powers = powers_.find(digest);
    return {digest,
            found->second,
            powers == powers_.end() ? nullptr : &powers->second,
            json::get_string(request.body, "family", kWhat),
            static_cast<std::uint64_t>(json::get_int(request.body, "seed", kWhat)),
            static_cast<std::byte>(json::get_int(request.body, "poison", kWhat)),
            json::get_bool(request.body, "at_end", kWhat) ? Edge::end : Edge::begin};
  }

  // Null where the graph is the host's; kept_on_host_ then says why, if a GPU evaluates it.
  DeviceJudge* device_for(const Question& question, const std::string& unshared) {
    const DeviceOracle* const oracle = evaluator_.device_for(question.graph);
    if (!oracle) return nullptr;
    std::string why = unshared.empty() ? targets::cuda::cannot_share(oracle->gpu().description()) : unshared;
    if (!why.empty()) kept_on_host_.emplace(question.graph_digest, std::move(why));
    if (kept_on_host_.count(question.graph_digest) != 0) return nullptr;
    if (!device_) device_ = std::make_unique<DeviceJudge>(*oracle);
    return device_.get();
  }

  Frame make_arena(const Frame& request) {
    const Question question = question_of(request);
    if (DeviceJudge* device = device_for(question, json::get_string(request.body, "unshared", kWhat)))
      if (auto reply = share_arena(question, *device, json::get_int(request.body, "calls", kWhat)))
        return std::move(*reply);
    Frame reply;
    reply.fds.push_back(host_.arena(question));
    reply.body = {{"layout", to_json(question.layout())}};
    return reply;
  }

  // work() of the device; once more, with nothing kept there and inputs drawn again, where it had not the memory.
  template <class Work>
  static auto with_room(DeviceJudge& device, Work work) {
    try {
      return work();
    } catch (const kiln::cuda::DriverError& error) {
      if (error.code() != ErrorCode::limit) throw;
      device.make_room();
      return work();
    }
  }

  // Nothing where the device cannot, though it kept nothing else.
  std::optional<Frame> share_arena(const Question& question, DeviceJudge& device, std::int64_t calls) {
    try {
      return with_room(device, [&] { return std::optional(shared_arena(question, device, calls)); });
    } catch (const kiln::cuda::DriverError& error) {
      keep_on_host(question, error);
      return std::nullopt;
    }
  }

  Frame shared_arena(const Question& question, DeviceJudge& device, std::int64_t calls) {
    const ArenaLayout layout = question.layout();
    const int arenas = static_cast<int>(std::clamp<std::int64_t>(calls, 1, 2));
    const std::size_t bytes = layout.total_bytes * static_cast<std::size_t>(arenas);
    device.prepare(question);
    SharedMemory memory = SharedMemory::made(evaluator_.device_for(question.graph)->gpu(), bytes);
    device.fill(question, memory.pointer(), arenas);
    Frame reply;
    reply.fds.push_back(memory.exported());
    reply.body = {{"layout", to_json(layout)},
                  {"shared", json::object{{"id", ++last_id_}, {"bytes", bytes}, {"arenas", arenas}}}};
    arenas_.emplace(last_id_, Arena{std::move(memory), arenas});
    return reply;
  }

  void keep_on_host(const Question& question, const kiln::cuda::DriverError& error) {
    kept_on_host_.emplace(question.graph_digest, error.what());
    device_->forget();  // its memory may be what was lacking
  }

  Frame judge(const Frame& request) {
    const Question question = question_of(request);
    Frame reply;
    if (const json::value* id = request.body.if_contains("arena")) {
      const auto found = arenas_.find(id->is_int64() ? id->get_int64() : -1);
      if (found == arenas_.end() || !device_)
        throw Error(ErrorCode::not_found, "cannot judge an arena: it was not made here, or was judged before");
      const Arena arena = std::move(found->second);  // given back afterwards
      arenas_.erase(found);
      try {
        reply.body = with_room(
            *device_, [&] { return to_json(device_->judge(question, arena.memory.pointer(), arena.arenas)); });
      } catch (const kiln::cuda::DriverError& error) {
        keep_on_host(question, error);
        reply.body = {{"again", error.what()}};
      }
      return reply;
    }
    Findings findings = host_.judge(question, request.fds.at(0).get());
    if (const auto why = kept_on_host_.find(question.graph_digest); why != kept_on_host_.end())
      findings.evaluator += ", compared on the CPU, since " + why->second;
    reply.body = to_json(findings);
    return reply;
  }

  static constexpr std::size_t kKeep = 8;
  struct Arena {
    SharedMemory memory;
    int arenas = 1;
  };

  Evaluator evaluator_;
  HostJudge host_;
  std::unique_ptr<DeviceJudge> device_;
  std::map<std::string, graph::Graph> graphs_;
  std::map<std::string, graph::Homogeneity> powers_;   // of the graphs that have any
  std::map<std::string, std::string> kept_on_host_;    // graphs that the device cannot hold, and why
  std::map<std::int64_t, Arena> arenas_;               // shared, not judged yet
  std::int64_t last_id_ = 0;
};

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
                 Evaluator(threads_of(arguments.at(0)), std::strtod(arguments.at(3).c_str(), nullptr),
                           ordinal_of(arguments.at(2))));
}

}  // namespace kiln::worker
