// The job thread: takes queued jobs one by one, runs the conductor over their record, publishes what it decided.
#pragma once

#include <filesystem>
#include <memory>

#include "daemon/control/services.h"
#include "store/node_corpus.h"
#include "store/object_cache.h"

namespace kiln::worker {
class BenchMemory;
}

namespace kiln::kilnd {

struct JobEnvironment {
  store::Store& store;
  store::NodeCorpus& corpus;
  const store::SigningKey& key;
  std::filesystem::path worker;       // kiln-worker
  std::filesystem::path include_dir;  // holds runtime/kernel_abi.h
  policies::Policy default_policy;
  std::string gpu_libraries{};        // folders with a GPU's driver or compiler that are not the system's own
  std::int32_t gpu = 0;               // that jobs for a GPU run on, by the driver's count
  std::shared_ptr<worker::BenchMemory> bench_memory{};  // of all benches; null: each finds out by itself
  std::filesystem::path nodes{};                        // descriptions of nodes, by architecture
  store::ObjectCache* objects = nullptr;                // that benches take code objects from; null: they build all
};

// Starts the job thread and resumes what was running. The destructor pauses a running job at its next recorded step.
[[nodiscard]] std::unique_ptr<control::JobControl> make_job_runner(JobEnvironment env);

}  // namespace kiln::kilnd
