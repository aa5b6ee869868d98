// A job's row and its workload, as the conductor's input; live, resumed and replayed runs read the same.
#pragma once

#include "agents/conductor/conductor.h"
#include "daemon/kilnd/jobs.h"
#include "runtime/base/json_fwd.h"

namespace kiln::kilnd {

// What POST /v1/jobs fixes for good: policy, budget, seed, corpus, the site's templates, incumbent, target.
[[nodiscard]] json::object job_spec(const JobEnvironment& env, const control::TuneRequest& request);

// What a job is to run on: "cpu", "cuda".
[[nodiscard]] std::string job_target(const store::Job& job);
// Throws Error(conflict) when the corpus that came with Kiln is no longer the one that the job was submitted with. What
// the site added or removed since does not matter: a job keeps the templates of its submission.
[[nodiscard]] agents::JobInput job_input(const JobEnvironment& env, const store::Job& job);

// The blobs of the store as the conductor sees them.
class StoreBlobs : public agents::BlobStore {
 public:
  explicit StoreBlobs(store::Store& store) : store_(store) {}
  std::string put(std::string_view bytes) override { return store_.put_blob(bytes); }
  [[nodiscard]] bool keep(const std::string& digest, std::int64_t bytes) override {
    return store_.keep_blob(digest, bytes);
  }
  [[nodiscard]] std::string get(const std::string& digest) const override { return store_.blob(digest); }

 private:
  store::Store& store_;
};

}  // namespace kiln::kilnd
