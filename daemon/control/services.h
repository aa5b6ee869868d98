// What the control interface needs from the rest of the daemon, as seams: kilnd implements them, tests fake them.
// Thread rule: called from the I/O thread, must not block longer than a database read; long work is handed off and
// answered through `done` (called on any thread, exactly once).
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "policies/policy.h"
#include "runtime/base/json.h"
#include "store/node_corpus.h"
#include "store/object_cache.h"
#include "store/signing/signing.h"
#include "store/store.h"

namespace kiln::control {

struct ImportRequest {
  std::string name;   // workload name, [a-z0-9][a-z0-9._-]{0,63}
  std::string model;  // blob digest of the .onnx file
  std::string file_name;  // as the operator calls it, for messages
  std::map<std::string, std::string> external;     // location -> blob digest
  std::map<std::string, std::int64_t> dimensions;  // symbolic dimension -> extent
};

// A job that builds for a GPU of another node and measures nothing.
struct BuildOnly {
  std::string architecture;     // "sm_90a"
  std::int32_t candidates = 0;  // per region; 0: a first round
  json::object node;            // NodeFacts; empty: the description that Kiln brings for the architecture
};

struct TuneRequest {
  std::string workload;     // id or name
  std::string policy_text;  // TOML; empty: the node's default policy
  std::int64_t budget_seconds = 0;  // 0: the policy's
  std::uint64_t seed = 1;
  std::string target{"cpu"};  // "cpu", "cuda"
  std::optional<BuildOnly> build_only{};  // target is "cuda"
};

template <class T>
using Done = std::function<void(std::exception_ptr error, T result)>;

class ModelImporter {
 public:
  virtual ~ModelImporter() = default;
  // Runs an import worker; adds the workload; Error(not_found) with the missing external locations in the remedy.
  virtual void import_model(const ImportRequest& request, Done<store::Workload> done) = 0;
};

class JobControl {
 public:
  virtual ~JobControl() = default;
  virtual store::Job submit(const TuneRequest& request) = 0;
  virtual void cancel(const std::string& job) = 0;  // Error(conflict) when it has ended
  virtual void resume(const std::string& job) = 0;  // a paused or failed job, from its last recorded step
  // Runs the agents again over the record: {"job", "entries", "decisions", "identical": true} or Error(diverged).
  virtual void replay(const std::string& job, Done<json::object> done) = 0;
  [[nodiscard]] virtual json::object node() const = 0;    // last NodeFacts, or {"state": "not probed yet"}
  [[nodiscard]] virtual json::array doctor() const = 0;   // [{"check", "result": PASS|CAUTION|FAIL, "detail", "cure"}]
  // Runs the golden sets; takes up to a minute: {"digest", "passed", "seconds", "cases": [{"family", "case", ...}]}.
  [[nodiscard]] virtual json::object golden() const = 0;
  // Proves a template of the site by the golden set of its family, in workers, and adds it to the corpus only then:
  // {"template", "digest", "accepted", "corpus", "seconds", "cases"}. Error(invalid_input | limit | unsupported |
  // conflict) for what is not worth proving.
  virtual json::object add_template(const std::string& name, const std::map<std::string, std::string>& files) = 0;
  virtual void remove_template(const std::string& family, const std::string& name) = 0;
  // Takes the bundle of code objects `blob` into the cache; it is signed by this node or by one of `keys` (PEM):
  // {"objects", "added", "bytes", "signer", "about", "same_compiler"}. Error(corrupt | invalid_input | conflict).
  virtual json::object import_objects(const std::string& blob, const std::vector<std::string>& keys) = 0;
  // One human line: "tuning minilm: candidate 41 of 64, best 1.31x".
  [[nodiscard]] virtual std::string status_line() const = 0;
};

struct Services {
  store::Store& store;
  const store::NodeCorpus& corpus;
  const store::SigningKey& key;
  const policies::Policy& default_policy;
  store::ObjectCache& objects;
  ModelImporter& importer;
  JobControl& jobs;
};

}  // namespace kiln::control
