// Follows a job to its end: a phase tree that is redrawn in place on a terminal, one line per event elsewhere.
#pragma once

#include <string>
#include <vector>

#include "daemon/kctl/command.h"
#include "runtime/base/json_fwd.h"

namespace kiln::kctl {

// What the events of a job say so far. Pure: events in, lines out.
class PhaseTree {
 public:
  void apply(const json::object& event);  // an Event of the interface
  [[nodiscard]] std::vector<std::string> lines(std::int64_t now_ns, std::size_t width) const;
  [[nodiscard]] static std::string plain(const json::object& event);

 private:
  struct Phase {
    std::string name, detail;
    std::int64_t begin_ns = 0, end_ns = 0;  // wall clock of the daemon; 0: not ended
  };
  std::vector<Phase> phases_;
  double fraction_ = 0;
  std::int64_t begin_ns_ = 0;
};

// "search/<region>: matmul 12x64, 9 tried, 1 failed, best 12.1 us": what is known of one progress detail.
[[nodiscard]] std::string describe_progress(const json::object& detail);
// Table, speed-up and next commands of a job that is done.
void print_result(const Session& session, const json::object& job);
// Returns when the job has ended or been interrupted (the job goes on then).
[[nodiscard]] Exit follow(Session& session, const std::string& job);

}  // namespace kiln::kctl
