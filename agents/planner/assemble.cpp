// Buffers and launches of a whole workload, from a partition and one built kernel per region.
#include <algorithm>
#include <map>
#include <set>

#include "agents/graph/serialize.h"
#include "agents/planner/arena.h"
#include "agents/planner/planner.h"
#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

using graph::ValueId;

class Assembly {
 public:
  Assembly(const graph::Graph& workload, const Partition& partition, const std::vector<BuiltKernel>& kernels,
           Plan& plan)
      : g_(workload),
        partition_(partition),
        kernels_(kernels),
        plan_(plan),
        layout_(graph::layout_constants(workload)) {}

  void run() {
    plan_.constants_bytes = layout_.total_bytes;
    interface();
    alias_reshapes();
    for (std::size_t i = 0; i < partition_.instances.size(); ++i) add_instance(static_cast<std::int32_t>(i));
    place_temporaries();
  }

 private:
  [[noreturn]] void fail(ErrorCode code, const std::string& cause) const {
    throw Error(code, "cannot assemble a plan of '" + g_.name + "': " + cause);
  }

  [[nodiscard]] std::int64_t bytes_of(ValueId v) const {
    const graph::TensorType& type = g_.type(v);
    return graph::element_count(type.shape) * static_cast<std::int64_t>(graph::size_of(type.dtype));
  }

  [[nodiscard]] const Region& region_of(std::int32_t instance) const {
    const auto region = static_cast<std::size_t>(partition_.instances[static_cast<std::size_t>(instance)].region);
    return partition_.regions[region];
  }

  std::int32_t add_buffer(PlanBuffer::Kind kind, std::int64_t bytes, std::int64_t offset, std::int32_t index) {
    plan_.buffers.push_back({kind, bytes, offset, index});
    return static_cast<std::int32_t>(plan_.buffers.size()) - 1;
  }

  void interface() {
    for (const ValueId v : g_.inputs) {
      const auto index = static_cast<std::int32_t>(plan_.inputs.size());
      buffers_[v] = add_buffer(PlanBuffer::Kind::input, bytes_of(v), 0, index);
      plan_.inputs.push_back({g_.values[static_cast<std::size_t>(v)].name, g_.type(v), buffers_[v]});
    }
    for (const ValueId v : g_.outputs) {
      if (buffers_.contains(v) || g_.is_constant(v))
        fail(ErrorCode::unsupported,
             "output '" + g_.values[static_cast<std::size_t>(v)].name + "' is an input, a constant or another output");
      const auto index = static_cast<std::int32_t>(plan_.outputs.size());
      buffers_[v] = add_buffer(PlanBuffer::Kind::output, bytes_of(v), 0, index);
      plan_.outputs.push_back({g_.values[static_cast<std::size_t>(v)].name, g_.type(v), buffers_[v]});
    }
  }

  // A reshape between regions is the same memory, unless both of its sides have a buffer that is not ours to choose.
  void alias_reshapes() {
    for (std::size_t i = 0; i < partition_.instances.size(); ++i) {
      const RegionInstance& instance = partition_.instances[i];
      const std::vector<graph::Node>& nodes = region_of(static_cast<std::int32_t>(i)).body.nodes;
      const bool reshapes = std::all_of(nodes.begin(), nodes.end(), [](const graph::Node& node) {
        return std::holds_alternative<graph::Reshape>(node.op);
      });
      if (!reshapes || instance.inputs.size() != 1 || instance.outputs.size() != 1) continue;
      const ValueId from = storage(instance.inputs[0]), to = instance.outputs[0];
      const bool fixed_from = buffers_.contains(from) || g_.is_constant(from), fixed_to = buffers_.contains(to);
      if (fixed_from && fixed_to) continue;  // its kernel copies
      if (fixed_to) {
        same_as_[from] = to;
      } else {
        same_as_[to] = from;
      }
      aliases_.insert(static_cast<std::int32_t>(i));
    }
  }

  [[nodiscard]] ValueId storage(ValueId v) const {
    for (auto at = same_as_.find(v); at != same_as_.end(); at = same_as_.find(v)) v = at->second;
    return v;
  }

  std::int32_t add_temporary(std::int64_t bytes) { return add_buffer(PlanBuffer::Kind::temporary, bytes, 0, 0); }

  // The buffer that a value is read from.
  std::int32_t source(ValueId v) {
    v = storage(v);
    const auto at = buffers_.find(v);
    if (at == buffers_.end()) {
      if (!g_.is_constant(v))
        fail(ErrorCode::internal,
             "value '" + g_.values[static_cast<std::size_t>(v)].name + "' is read before it is written");
      return buffers_[v] =
                 add_buffer(PlanBuffer::Kind::constant, bytes_of(v), layout_.offsets[static_cast<std::size_t>(v)], 0);
    }
    return at->second;
  }

  std::int32_t destination(ValueId v) {
    v = storage(v);
    const auto at = buffers_.find(v);
    if (at != buffers_.end()) return at->second;
    return buffers_[v] = add_temporary(bytes_of(v));
  }

  std::int32_t add_object(const std::string& digest) {
    const auto at = std::find(plan_.objects.begin(), plan_.objects.end(), digest);
    const auto index = static_cast<std::int32_t>(at - plan_.objects.begin());
    if (at == plan_.objects.end()) plan_.objects.push_back(digest);
    return index;
  }

  void add_instance(std::int32_t now) {
    if (aliases_.contains(now)) return;
    const RegionInstance& instance = partition_.instances[static_cast<std::size_t>(now)];
    const BuiltKernel& built = kernels_[static_cast<std::size_t>(instance.region)];
    std::vector<std::int32_t> inputs, outputs, prepared, temporary;
    for (const ValueId v : instance.inputs) inputs.push_back(source(v));
    for (const ValueId v : instance.outputs) outputs.push_back(destination(v));
    for (const std::int64_t bytes : built.kernel.prepared_bytes) {
      prepared.push_back(add_buffer(PlanBuffer::Kind::prepared, bytes, plan_.prepared_bytes, 0));
      plan_.prepared_bytes += aligned(bytes);
    }
    for (const std::int64_t bytes : built.kernel.temporary_bytes) temporary.push_back(add_temporary(bytes));
    const std::vector<std::int32_t>* ids[] = {&inputs, &outputs, &prepared, &temporary};
    const auto launch = [&](const RenderedLaunch& rendered, bool prepares) {
      PlanLaunch l;
      l.object = add_object(built.object);
      l.symbol = rendered.symbol;
      for (const RenderedArg& arg : rendered.args) {
        const std::int32_t id = ids[static_cast<std::size_t>(arg.kind)]->at(static_cast<std::size_t>(arg.index));
        const PlanBuffer::Kind kind = plan_.buffers[static_cast<std::size_t>(id)].kind;
        if (prepares && kind != PlanBuffer::Kind::constant && kind != PlanBuffer::Kind::prepared)
          fail(ErrorCode::internal, "'" + rendered.symbol + "' prepares from what is known only at run time");
        l.args.push_back(id);
      }
      l.tasks = rendered.tasks;
      l.scratch_bytes = rendered.scratch_bytes;
      l.library_bytes = rendered.library_bytes;
      l.has_state = rendered.has_state;
      l.geometry = rendered.geometry;
      l.instance = now;
      l.label = region_of(now).label;
      (prepares ? plan_.prepare : plan_.run).push_back(std::move(l));
    };
    for (const RenderedLaunch& rendered : built.kernel.prepare) launch(rendered, true);
    for (const RenderedLaunch& rendered : built.kernel.run) launch(rendered, false);
    if (!built.kernel.architecture.empty()) {
      if (!plan_.architecture.empty() && plan_.architecture != built.kernel.architecture)
        fail(ErrorCode::internal, "its kernels are for different GPUs");
      plan_.target = "cuda";
      plan_.architecture = built.kernel.architecture;
    }
    for (const std::string& feature : built.kernel.cpu_features)
      if (std::find(plan_.cpu_features.begin(), plan_.cpu_features.end(), feature) == plan_.cpu_features.end())
        plan_.cpu_features.push_back(feature);
  }

  // A buffer lives from the first launch that it is an argument of to the last: a padded copy of x, whose reader is the
  // next launch, may lie where that one's scratch will not, and x itself is free by then. Scratch lives for one launch.
  void place_temporaries() {
    std::vector<Lifetime> lifetimes;
    std::map<std::int32_t, std::size_t> of_buffer;
    std::vector<std::pair<PlanLaunch*, std::size_t>> of_scratch;
    for (std::size_t step = 0; step < plan_.run.size(); ++step) {
      PlanLaunch& launch = plan_.run[step];
      const auto now = static_cast<std::int32_t>(step);
      for (const std::int32_t id : launch.args) {
        const PlanBuffer& buffer = plan_.buffers[static_cast<std::size_t>(id)];
        if (buffer.kind != PlanBuffer::Kind::temporary) continue;
        const auto [at, added] = of_buffer.try_emplace(id, lifetimes.size());
        if (added) lifetimes.push_back({buffer.bytes, now, now});
        lifetimes[at->second].last = now;
      }
      if (launch.scratch_bytes == 0 || launch.geometry) continue;
      of_scratch.emplace_back(&launch, lifetimes.size());
      lifetimes.push_back({aligned(launch.scratch_bytes) * (launch.tasks > 1 ? plan_.threads : 1), now, now});
    }
    const Arena arena = place(lifetimes);
    for (const auto& [id, at] : of_buffer) plan_.buffers[static_cast<std::size_t>(id)].offset = arena.offsets[at];
    for (const auto& [launch, at] : of_scratch) launch->scratch_offset = arena.offsets[at];
    plan_.temporary_bytes = arena.bytes;
    std::sort(plan_.cpu_features.begin(), plan_.cpu_features.end());
  }

  const graph::Graph& g_;
  const Partition& partition_;
  const std::vector<BuiltKernel>& kernels_;
  Plan& plan_;
  const graph::ConstantLayout layout_;
  std::map<ValueId, std::int32_t> buffers_;
  std::map<ValueId, ValueId> same_as_;   // a value that is another's memory
  std::set<std::int32_t> aliases_;       // instances that need no launch
};

}  // namespace

Plan assemble(const graph::Graph& workload, const Partition& partition, const std::vector<BuiltKernel>& kernels,
              const std::string& constants, std::int32_t threads) {
  if (kernels.size() != partition.regions.size())
    throw Error(ErrorCode::internal,
                "cannot assemble a plan of '" + workload.name + "': one kernel per region is needed");
  Plan plan;
  plan.name = workload.name;
  plan.threads = threads;
  plan.constants = constants;
  Assembly(workload, partition, kernels, plan).run();
  return plan;
}

}  // namespace kiln::agents
