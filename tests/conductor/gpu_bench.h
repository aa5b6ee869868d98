// A fake bench of a node with a GPU.
#pragma once

#include <set>
#include <string>

#include "runtime/base/digest.h"
#include "tests/conductor/jobs.h"

namespace kiln::agents {

// A node with a GPU, whose builds have recipes.
class GpuBench : public FakeBench {
 public:
  std::set<std::string> asked;  // sources

  NodeFacts probe(Probing how) override {
    NodeFacts facts = FakeBench::probe(how);
    GpuFacts gpu;
    gpu.name = "GPU of a test";
    gpu.architecture = "sm_90a";
    gpu.multiprocessors = 132;
    gpu.shared_per_multiprocessor_bytes = 228 << 10;
    gpu.shared_per_block_bytes = 227 << 10;
    gpu.l2_bytes = 60 << 20;
    gpu.memory_bytes = std::int64_t{140} << 30;
    gpu.cluster_launch = true;
    facts.gpu = gpu;
    return facts;
  }
  std::vector<BuildFact> build(std::span<const BuildRequest> requests) override {
    std::vector<BuildFact> facts = FakeBench::build(requests);
    for (std::size_t i = 0; i < facts.size(); ++i) {
      asked.insert(requests[i].kernel.source);
      facts[i].verdict = Verdict::ok;  // an incumbent that does not compile ends a job
      facts[i].diagnostics.clear();
      facts[i].recipe = sha256_hex("recipe" + requests[i].kernel.source);
    }
    return facts;
  }
};

inline JobInput gpu_input(MemoryBlobs& blobs) {
  JobInput input = classifier_input(blobs);
  input.target = "cuda";
  return input;
}

}  // namespace kiln::agents
