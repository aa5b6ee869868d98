// The oracle's work in the host's memory: makes the inputs of an arena file, evaluates the graph (by the interpreter,
// or on a GPU and back), and compares what a candidate left. Kept evaluations never leave this process.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "daemon/worker/conditioning.h"
#include "daemon/worker/findings.h"
#include "daemon/worker/inside/evaluator.h"
#include "runtime/base/unique_fd.h"

namespace kiln::worker {

class HostJudge {
 public:
  explicit HostJudge(Evaluator& evaluator) : evaluator_(evaluator), threads_(evaluator.threads()) {}

  // A memory file with question.layout(): inputs made, outputs poisoned.
  [[nodiscard]] UniqueFd arena(const Question& question);
  // Judges what a call left there. Throws Error(corrupt) for a file of another size, Error(invalid_input) for doubled
  // inputs when the outputs over "normal" were not judged before.
  [[nodiscard]] Findings judge(const Question& question, int arena_file);
  void forget() { kept_.clear(); }

 private:
  // What one family of inputs gives.
  struct Evaluation {
    std::vector<graph::Tensor> inputs, expected, plain;
    std::vector<Conditioning> conditioning;  // of each output
    std::string expected_digest;             // of all outputs as they are expected
    std::string evaluator;

    [[nodiscard]] std::size_t bytes() const;
  };
  [[nodiscard]] const Evaluation& evaluation_of(const Question& question, const std::string& family);
  [[nodiscard]] OutputElement undoubled(const Question& question, std::span<const std::byte> arena,
                                        const ArenaLayout& layout);

  Evaluator& evaluator_;
  const int threads_;
  std::map<std::string, Evaluation> kept_;
  std::vector<std::vector<std::byte>> last_;  // the outputs over inputs of "normal" that were judged last
};

}  // namespace kiln::worker
