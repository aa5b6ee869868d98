// The oracle's work on a GPU from the inputs to the verdict: inputs are drawn there, they and right outputs stay there,
// and what a candidate left is compared with them there; figures come back. What is found is what inside/host_judge.h
// finds in the host's memory, but for sums of squares in double, and digests of another kind.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/worker/device_oracle/device_oracle.h"
#include "daemon/worker/findings.h"

namespace kiln::worker {

class DeviceJudge {
 public:
  explicit DeviceJudge(const DeviceOracle& oracle);
  ~DeviceJudge();
  DeviceJudge(const DeviceJudge&) = delete;
  DeviceJudge& operator=(const DeviceJudge&) = delete;

  // Each may throw DriverError, with code `limit` when the device has not the memory.

  // Evaluates what the question asks for, unless that was done and kept.
  void prepare(const Question& question);
  // Fills so many arenas of question.layout(), which stand one behind the other at `base` in device memory.
  void fill(const Question& question, std::byte* base, int copies) const;
  // Judges what one call over each of them left. Throws Error(invalid_input) for doubled inputs when the outputs over
  // "normal" were not judged before.
  [[nodiscard]] Findings judge(const Question& question, const std::byte* base, int copies);
  // Gives back the evaluations that are kept; what is asked for again is made again.
  void forget();
  // The same where the device had not the memory: from then on inputs are drawn again where they are wanted, until the
  // next forget().
  void make_room();

 private:
  struct Evaluation;
  [[nodiscard]] Evaluation& evaluation_of(const Question& question);
  [[nodiscard]] std::int64_t changed_input(const Question& question, const Evaluation& right, const std::byte* base,
                                           int copies) const;
  [[nodiscard]] OutputElement undoubled(const Question& question, const std::byte* base);

  const DeviceOracle& oracle_;
  bool keeps_inputs_ = true;
  std::map<std::string, std::unique_ptr<Evaluation>> kept_;  // by Question::evaluation()
  // The outputs over "normal" that were judged last.
  std::vector<std::shared_ptr<const targets::cuda::DeviceMemory>> last_;
};

}  // namespace kiln::worker
