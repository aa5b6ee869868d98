#include "daemon/worker/inside/measure.h"

#include <sys/random.h>

#include <cerrno>
#include <numeric>

#include "daemon/worker/inside/candidate.h"
#include "daemon/worker/progress.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

constexpr std::int64_t kWarmUpNs = 100'000'000;  // of one subject: code is loaded and the clock up by then
constexpr std::int64_t kLeastRounds = 12;  // a sign test over fewer says little (agents/benchmark)
// Of energy a round may have half a second a subject, and a sample is a mean: as many as can show a difference at 95 %.
constexpr std::int64_t kLeastEnergyRounds = 7;

struct Entry {
  std::string name, refused;
  const char* outcome = "refused";
  std::unique_ptr<Subject> subject;
  std::int64_t proof_round = -1;  // none
  std::vector<double> ns, nj;
  json::array launch_ns;
};

// One of the later rounds, which a candidate cannot know: what it skips by then, it skips there too. samples > 0.
std::int64_t drawn_round(std::int64_t samples) {
  std::uint64_t random = 0;
  if (::getrandom(&random, sizeof random, 0) != sizeof random) throw system_error("cannot draw a round", errno);
  const std::int64_t first = samples / 2;
  return first + static_cast<std::int64_t>(random % static_cast<std::uint64_t>(samples - first));
}

class Measurement {
 public:
  Measurement(const Frame& request, Device& device)
      : request_(request), device_(device), progress_(request.fds.at(0).get(), Mapped::Access::write) {
    timing_.seed = static_cast<std::uint64_t>(json::get_int(request.body, "seed", "a run request"));
    timing_.warmup = json::get_int(request.body, "warmup", "a run request");
    timing_.samples = json::get_int(request.body, "samples", "a run request");
    timing_.objective = agents::objective_from_name(json::get_string(request.body, "objective", "a run request"));
    timing_.instances = json::get_int(request.body, "instances", "a run request");
    timing_.limit_ns = json::get_int(request.body, "limit_ns", "a run request");
    timing_.cold = json::get_bool(request.body, "cold", "a run request");
    timing_.per_launch = json::get_bool(request.body, "per_launch", "a run request");
    timing_.poison = static_cast<std::byte>(json::get_int(request.body, "poison", "a run request"));
  }

  [[nodiscard]] Frame run() {
    load();
    json::array clock;
    const std::int64_t end_ns = monotonic_ns() + timing_.limit_ns;
    const std::int64_t least = timing_.objective == agents::Objective::energy ? kLeastEnergyRounds : kLeastRounds;
    bool last = timing_.samples <= 0;
    for (std::int64_t round = 0; !last; ++round) {
      last = round + 1 >= timing_.samples || (round + 1 >= least && monotonic_ns() >= end_ns);
      time_round(round, last);
      clock.emplace_back(device_.cycles_per_ns());
    }
    for (std::size_t i = 0; i < entries_.size(); ++i) attempt(i, [](Entry& entry) { entry.subject->prove(); });
    Frame reply;
    reply.body = {{"subjects", answers()}, {"cycles_per_ns", clock}};
    return reply;
  }

 private:
  void load() {
    const json::array& subjects = json::as_array(json::at(request_.body, "subjects", "a run request"), "subjects");
    std::vector<std::string> directories;
    for (const json::value& item : subjects) {
      const json::object& subject = json::as_object(item, "a subject");
      entries_.emplace_back().name = json::get_string(subject, "name", "a subject");
      directories.push_back(json::get_string(subject, "directory", "a subject"));
    }
    const bool proves = request_.body.contains("layout");
    for (const std::size_t index : device_.loading_order(directories))
      enter(index, [&](Entry& entry) {
        ProofArena proof;
        if (proves)
          proof = {request_.fds.at(1 + index).get(), &json::at(request_.body, "layout", "a run request"),
                   request_.body.if_contains("shared")};
        entry.subject = device_.load(directories[index], timing_, proof);
        step();
        if (proves && timing_.samples > 0) entry.proof_round = drawn_round(timing_.samples);
        const std::int64_t end_ns = monotonic_ns() + kWarmUpNs;
        for (std::int64_t i = 0; i < timing_.warmup && (i == 0 || monotonic_ns() < end_ns); ++i) {
          entry.subject->warm_up();
          step();
        }
      });
    if (timing_.warmup > 0) device_.ready();
  }

  void time_round(std::int64_t round, bool last) {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      // Rotating order: nobody is always the one after the slowest.
      attempt((i + static_cast<std::size_t>(round)) % entries_.size(), [&](Entry& entry) {
        // Where the limit ends the rounds before the one that was drawn, the last proves in its place.
        entry.ns.push_back(entry.subject->sample(round == entry.proof_round || (last && entry.proof_round > round)));
        if (entry.subject->nj() > 0) entry.nj.push_back(entry.subject->nj());
        const std::vector<double> launches = entry.subject->launch_ns();
        if (!launches.empty()) entry.launch_ns.emplace_back(json::to_array(launches));
      });
    }
  }

  // Work of a subject that was not refused before.
  template <class Work>
  void attempt(std::size_t index, Work work) {
    if (entries_[index].subject) enter(index, work);
  }

  template <class Work>
  void enter(std::size_t index, Work work) {
    at_.subject = static_cast<std::uint32_t>(index);
    write_progress(progress_.writable(), at_);
    Entry& entry = entries_[index];
    try {
      work(entry);
      step();
    } catch (const Refused& refused) {
      entry.refused = refused.why;
      entry.outcome = refused.outcome;
      entry.subject.reset();
    }
  }

  void step() {
    at_.step_ns = monotonic_ns();
    write_progress(progress_.writable(), at_);
  }

  [[nodiscard]] json::array answers() const {
    json::array out;
    for (const Entry& entry : entries_) {
      json::object answer{{"name", entry.name}};
      if (!entry.subject) answer[entry.outcome] = entry.refused;
      answer["ns"] = json::to_array(entry.ns);
      if (!entry.nj.empty()) answer["nj"] = json::to_array(entry.nj);
      if (!entry.launch_ns.empty()) answer["launch_ns"] = entry.launch_ns;
      out.emplace_back(std::move(answer));
    }
    return out;
  }

  const Frame& request_;
  Device& device_;
  Mapped progress_;
  Progress at_;
  Timing timing_;
  std::vector<Entry> entries_;
};

}  // namespace

std::vector<std::size_t> Device::loading_order(const std::vector<std::string>& directories) {
  std::vector<std::size_t> order(directories.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  return order;
}

Frame measure(const Frame& request, Device& device) { return Measurement(request, device).run(); }

Frame answer(const char* outcome, const std::string& why) {
  Frame reply;
  reply.body = {{outcome, why}};
  return reply;
}

}  // namespace kiln::worker
