#include "daemon/targets/processor_time.h"

#include <sys/resource.h>

#include <algorithm>

namespace kiln::targets {

bool limit_processor_time(std::int64_t ns) {
  constexpr std::int64_t second = 1'000'000'000;
  rusage used{};
  rlimit limit{};
  if (::getrusage(RUSAGE_SELF, &used) != 0 || ::getrlimit(RLIMIT_CPU, &limit) != 0) return false;
  // The kernel counts from the start of the process.
  const std::int64_t before_ns = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * second +
                                 (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1'000;
  const std::int64_t end = std::max<std::int64_t>(1, (before_ns + ns + second - 1) / second);
  limit.rlim_cur = static_cast<rlim_t>(end);
  limit.rlim_max = std::min(limit.rlim_max, static_cast<rlim_t>(end + 1));
  return ::setrlimit(RLIMIT_CPU, &limit) == 0;
}

}  // namespace kiln::targets
