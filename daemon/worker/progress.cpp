#include "daemon/worker/progress.h"

#include <algorithm>
#include <cstring>

namespace kiln::worker {
namespace {

constexpr std::size_t kSubjectAt = 0, kStepAt = 8;

}  // namespace

void write_progress(std::span<std::byte> file, const Progress& progress) {
  std::memcpy(file.subspan(kSubjectAt).data(), &progress.subject, sizeof progress.subject);
  std::memcpy(file.subspan(kStepAt).data(), &progress.step_ns, sizeof progress.step_ns);
}

Progress read_progress(std::span<const std::byte> file) {
  Progress out;
  std::memcpy(&out.subject, file.subspan(kSubjectAt).data(), sizeof out.subject);
  std::memcpy(&out.step_ns, file.subspan(kStepAt).data(), sizeof out.step_ns);
  return out;
}

std::int64_t Patience::deadline_ns(std::int64_t begin_ns, std::int64_t last_step_ns) const {
  const std::int64_t first = begin_ns + timeout_ns, last = begin_ns + std::max(timeout_ns, most_ns);
  if (step_ns <= 0 || last_step_ns <= begin_ns) return first;
  // Not its sum: what a candidate wrote may be any number.
  const std::int64_t bought = last_step_ns >= last - step_ns ? last : last_step_ns + step_ns;
  return std::max(first, bought);
}

}  // namespace kiln::worker
