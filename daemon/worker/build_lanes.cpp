#include "daemon/worker/build_lanes.h"

#include <algorithm>

#include "daemon/targets/processor_time.h"
#include "daemon/worker/attempts.h"
#include "daemon/worker/build_recipe.h"
#include "daemon/worker/memory.h"
#include "runtime/base/json.h"

namespace kiln::worker {

using agents::Verdict;

namespace {

bool for_gpu(const agents::BuildRequest& request) { return !request.kernel.architecture.empty(); }

Frame frame_of(const agents::BuildRequest& request, bool allow_spills) {
  Frame frame;
  frame.body = {{"file_name", request.kernel.file_name},
                {"flags", json::to_array(request.kernel.compile_flags)},
                {"libraries", json::to_array(request.kernel.libraries)},
                {"timeout_ns", request.timeout_ns}};
  if (for_gpu(request)) {
    frame.body["architecture"] = request.kernel.architecture;
    frame.body["allow_spills"] = allow_spills;
  }
  frame.fds.push_back(sealed_file("source", request.kernel.source));
  return frame;
}

agents::BuildFact fact_of(const json::object& reply) {
  agents::BuildFact fact;
  fact.build_ns = json::get_int(reply, "build_ns", "a build reply");
  for (const json::value& item :
       json::as_array(json::at(reply, "diagnostics", "a build reply"), "diagnostics")) {
    const json::object& d = json::as_object(item, "a diagnostic");
    const auto line = static_cast<std::int32_t>(json::get_int(d, "line", "a diagnostic"));
    fact.diagnostics.push_back({json::get_string(d, "file", "a diagnostic"), line,
                                json::get_string(d, "severity", "a diagnostic"),
                                json::get_string(d, "message", "a diagnostic")});
  }
  if (const json::value* kernels = reply.if_contains("kernels"))
    for (const json::value& kernel : json::as_array(*kernels, "kernels"))
      fact.kernels.push_back(agents::kernel_resources_from_json(kernel));
  fact.verdict = agents::verdict_from_name(json::get_string(reply, "outcome", "a build reply"));
  return fact;
}

}  // namespace

std::vector<agents::BuildFact> BuildLanes::build(std::span<const agents::BuildRequest> requests) {
  std::vector<agents::BuildFact> facts(requests.size());
  std::vector<std::size_t> unknown;
  std::vector<std::string> recipes(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (workers_.objects().caches()) {
      recipes[i] = recipe_of(requests[i], allow_spills_,
                             workers_.toolchain(for_gpu(requests[i]), requests[i].kernel.libraries));
      if (std::optional<agents::BuildFact> known = known_before(requests[i], recipes[i])) {
        facts[i] = std::move(*known);
        continue;
      }
    }
    unknown.push_back(i);
  }
  compile(requests, unknown, facts);
  for (const std::size_t i : unknown) facts[i].recipe = recipes[i];
  for (const std::size_t i : unknown) keep(requests[i], facts[i]);
  return facts;
}

std::optional<agents::BuildFact> BuildLanes::known_before(const agents::BuildRequest& request,
                                                          const std::string& recipe) {
  const std::optional<KnownObject> known = workers_.objects().find(recipe);
  std::optional<agents::BuildFact> fact = known ? fact_of(request, *known) : std::nullopt;
  if (!fact) return std::nullopt;
  fact->object = workers_.objects().put(known->object);
  fact->recipe = recipe;
  return fact;
}

// Only what compiled: a build that failed may have failed for want of memory or time.
void BuildLanes::keep(const agents::BuildRequest& request, const agents::BuildFact& fact) {
  if (fact.verdict != Verdict::ok || fact.recipe.empty()) return;
  const UniqueFd fd = open_object(workers_.objects(), fact.object);
  const Mapped object(fd.get(), Mapped::Access::read);
  workers_.objects().keep(fact.recipe, known_object(request.kernel.architecture, fact, object.text()));
}

void BuildLanes::compile(std::span<const agents::BuildRequest> requests, std::span<const std::size_t> which,
                         std::vector<agents::BuildFact>& facts) {
  std::vector<Lane> lanes(std::min<std::size_t>(static_cast<std::size_t>(workers_.cores()), which.size()));
  std::size_t next = 0, busy = 0;
  // The oldest lane is waited for, so that all cores stay busy.
  for (std::size_t i = 0; next < which.size() || busy > 0; i = (i + 1) % lanes.size()) {
    Lane& lane = lanes[i];
    if (lane.busy) {
      const std::optional<agents::BuildFact> fact = finish(lane);
      if (!fact) {
        begin(lane, lane.request, requests[lane.request], i);
        continue;
      }
      facts[lane.request] = *fact;
      lane.attempts = 0;
      --busy;
    }
    if (next < which.size()) {
      begin(lane, which[next], requests[which[next]], i);
      ++next;
      ++busy;
    }
  }
}

void BuildLanes::begin(Lane& lane, std::size_t index, const agents::BuildRequest& request,
                       std::size_t number) {
  lane.scratch = workers_.staging().fresh_folder("build-" + std::to_string(number));
  const BenchOptions& options = workers_.options();
  std::vector<std::string> folders{options.include_dir.string(), lane.scratch.string()};
  lane.worker =
      std::make_unique<WorkerProcess>(for_gpu(request) ? workers_.launch_of("build", std::move(folders))
                                                       : workers_.cpu_launch_of("build", std::move(folders)));
  Frame frame = frame_of(request, allow_spills_);
  lane.worker->send(frame);
  lane.request = index;
  lane.begin_ns = monotonic_ns();
  lane.deadline_ns = lane.begin_ns + targets::wall_limit_ns(request.timeout_ns) + kSecond;  // the worker's come first
  lane.busy = true;
}

std::optional<agents::BuildFact> BuildLanes::finish(Lane& lane) {
  lane.busy = false;
  const Answer answer = lane.worker->receive(lane.deadline_ns);
  lane.worker.reset();
  if (answer.stopped && ++lane.attempts < kAttempts) return std::nullopt;
  if (answer.kind == Answer::Kind::hung || answer.out_of_time) {
    agents::BuildFact fact;
    fact.verdict = Verdict::build_timeout;
    fact.build_ns = monotonic_ns() - lane.begin_ns;
    return fact;
  }
  if (answer.kind == Answer::Kind::crashed) {
    agents::BuildFact fact;
    fact.verdict = Verdict::build_failed;
    fact.diagnostics = {{"", 0, "error", "the build worker was " + answer.evidence}};
    return fact;
  }
  agents::BuildFact fact = fact_of(answer.frame.body);
  if (fact.verdict != Verdict::ok) return fact;
  if (answer.frame.fds.empty()) throw Error(ErrorCode::corrupt, "cannot use a build reply: it has no object");
  const Mapped object = Mapped::received(answer.frame.fds.front().get(), 256u << 20);
  fact.object_bytes = static_cast<std::int64_t>(object.bytes().size());
  fact.object = workers_.objects().put(object.text());
  return fact;
}

}  // namespace kiln::worker
