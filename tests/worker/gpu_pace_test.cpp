#include "daemon/worker/inside/gpu_pace.h"

#include <doctest/doctest.h>

using kiln::agents::Objective;
using kiln::worker::CallSets;
using kiln::worker::GpuPace;

namespace {

constexpr std::size_t kMi = std::size_t{1} << 20;
constexpr CallSets kSets{10 * kMi, 24, 60 * kMi};  // as cold calls of 10 MB have them on an H200

}  // namespace

TEST_CASE("calls follow each other where one of the plans that are compared is too short for events") {
  GpuPace pace;
  pace.took(30e3);
  CHECK_FALSE(pace.in_batches(false, kSets));
  pace.took(5e3);
  CHECK(pace.in_batches(false, kSets));
  CHECK(pace.in_batches(true, kSets));
}

TEST_CASE("cold calls do not follow each other where the cache would hold what they read again") {
  GpuPace pace;
  pace.took(5e3);
  CHECK_FALSE(pace.in_batches(true, {kMi, 32, 60 * kMi}));
  CHECK(pace.in_batches(false, {kMi, 32, 60 * kMi}));
}

TEST_CASE("constants of one plan decide how all are timed") {
  GpuPace pace;
  pace.took(5e3);
  pace.loaded(0);
  pace.loaded(kMi / 2);
  CHECK(pace.in_batches(true, kSets));
  pace.loaded(kMi);
  pace.loaded(0);
  CHECK_FALSE(pace.in_batches(true, kSets));
  CHECK(pace.in_batches(false, kSets));
}

TEST_CASE("between two cold calls with the same tensors lie all the other sets") {
  const GpuPace pace;
  // A batch's last call and, when it is launched again, its first: 200 us of 20 us calls are 10.
  CHECK(pace.calls(Objective::latency, 20e3, false, kSets) == 10);
  CHECK(pace.calls(Objective::latency, 20e3, true, kSets) == 24);
  CHECK(pace.calls(Objective::latency, 2e3, true, kSets) == 100);
}

TEST_CASE("a batch is long enough for its clock, and a stream takes it at once") {
  const GpuPace pace;
  CHECK(pace.calls(Objective::throughput, 20e3, false, kSets) == 100);
  CHECK(pace.calls(Objective::throughput, 1e9, false, kSets) == 4);
  CHECK(pace.calls(Objective::energy, 1e9, false, kSets) == 1);
  CHECK(pace.calls(Objective::latency, 1e9, false, kSets) == 2);
  CHECK(pace.calls(Objective::latency, 10, false, kSets) == 256);
}
