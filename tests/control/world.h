// A node in a temporary folder: a real store with one of everything in it, a fake corpus, and fakes at the two seams
// that start work. For the tests, the server that the Python tests talk to, the benchmark and the fuzz target.
#pragma once

#include <filesystem>
#include <mutex>

#include "daemon/control/server.h"
#include "daemon/control/services.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "store/corpus/site_template.h"
#include "store/releases.h"
#include "tests/temporary_folder.h"

namespace kiln::control::testing {

using kiln::test::TemporaryFolder;

inline store::Corpus small_corpus() {
  store::TemplateSpec spec;
  spec.family = "matmul";
  spec.name = "packed";
  spec.digest = std::string(64, 'a');
  spec.target = "cpu";
  spec.summary = "Packed matrix product";
  spec.anchor = "matmul";
  spec.dtypes = {"f32"};
  spec.precision_class = "fp32";
  spec.tunables = {{"mr", {4, 6, 8}, 6, "rows of the register block"}};
  spec.constraints = {"mr > 0"};
  spec.geometry = {{"tasks", "1"}};
  spec.cost = {{"flops", "2 * m * n * k"}};
  spec.files = {{"kernel.cpp", "// kernel"}};
  return {std::string(64, 'c'), {spec}, {}};
}

// Queues rows and never runs them.
class FakeJobs : public JobControl {
 public:
  FakeJobs(store::Store& store, store::NodeCorpus& corpus) : store_(store), corpus_(corpus) {}
  store::Job submit(const TuneRequest& request) override {
    last = request;
    return store_.add_job(store_.workload(request.workload).id,
                          {{"budget_seconds", request.budget_seconds}, {"seed", request.seed}});
  }
  void cancel(const std::string& job) override {
    if (store_.job(job).state == store::JobState::done)
      throw Error(ErrorCode::conflict, "cannot cancel job " + job + ": it is done");
    store_.set_job_state(job, store::JobState::cancelled, {}, {});
  }
  void resume(const std::string& job) override {
    if (store_.job(job).state == store::JobState::done)
      throw Error(ErrorCode::conflict, "cannot resume job " + job + ": it is done");
    store_.set_job_state(job, store::JobState::queued, {}, {});
  }
  void replay(const std::string& job, Done<json::object> done) override {
    if (store_.job(job).state != store::JobState::done)
      return done(std::make_exception_ptr(Error(ErrorCode::diverged, "cannot replay job " + job + ": entry 1 differs")),
                  {});
    done(nullptr, {{"job", job}, {"entries", 1}, {"decisions", 0}, {"identical", true}});
  }
  [[nodiscard]] json::object node() const override { return {{"state", "not probed yet"}}; }
  [[nodiscard]] json::array doctor() const override {
    return {json::object{{"check", "toolchain"}, {"result", "PASS"}, {"detail", "c++ 12"}, {"cure", ""}}};
  }
  json::object import_objects(const std::string& blob, const std::vector<std::string>& keys) override {
    (void)keys;
    (void)store_.blob_path(blob);
    return {{"objects", 2}, {"added", 1}, {"bytes", 300}, {"signer", "SHA256:abc"},
            {"about", json::object{{"target", "sm_90a"}}}, {"same_compiler", true}};
  }
  [[nodiscard]] json::object golden() const override {
    return {{"digest", std::string(64, 'c')}, {"passed", true}, {"seconds", 0.1}, {"cases", cases(true)}};
  }
  // Proves by the word "right" in the source, and adds for real.
  json::object add_template(const std::string& name, const std::map<std::string, std::string>& files) override {
    const store::TemplateSpec spec = store::parse_site_template(name, files);
    corpus_.require_free(spec);
    const bool accepted = files.at(spec.source).find("right") != std::string::npos;
    if (accepted) corpus_.add(spec, "{}");
    return {{"template", spec.family + "/" + spec.name}, {"digest", spec.digest}, {"accepted", accepted},
            {"corpus", corpus_.now()->digest},           {"seconds", 0.1},        {"cases", cases(accepted)}};
  }
  void remove_template(const std::string& family, const std::string& name) override { corpus_.remove(family, name); }
  [[nodiscard]] std::string status_line() const override { return "idle"; }
  TuneRequest last;

 private:
  static json::array cases(bool right) {
    const json::object kernel{{"template", "matmul/packed"},
                              {"variant", "matmul/packed mr=6"},
                              {"verdict", right ? "ok" : "wrong"},
                              {"reason", right ? "right" : "output 0 differs"},
                              {"worst_ratio", right ? 0.5 : 2.0},
                              {"cause", right ? "" : "wrong everywhere"},
                              {"proof", ""}};
    return {json::object{{"family", "matmul"},
                         {"case", "two_by_two"},
                         {"origin", "by hand"},
                         {"oracle_error", 0.0},
                         {"oracle_agrees", true},
                         {"kernels", json::array{kernel}},
                         {"passed", right}}};
  }

  store::Store& store_;
  store::NodeCorpus& corpus_;
};

class FakeImporter : public ModelImporter {
 public:
  explicit FakeImporter(store::Store& store) : store_(store) {}
  void import_model(const ImportRequest& request, Done<store::Workload> done) override {
    last = request;
    if (store_.blob(request.model) == "needs weights.bin" && request.external.empty())
      return done(std::make_exception_ptr(Error(ErrorCode::not_found,
                                                "cannot import '" + request.file_name + "': external data is missing",
                                                "upload: weights.bin")),
                  {});
    store::Workload w;
    w.name = request.name;
    w.model = request.model;
    w.graph = store_.put_blob("{\"graph\":\"" + request.name + "\"}");
    w.id = "w-" + w.graph.substr(0, 12);
    store_.add_workload(w);
    done(nullptr, store_.workload(w.id));
  }
  ImportRequest last;

 private:
  store::Store& store_;
};

struct World {
  TemporaryFolder folder;
  std::unique_ptr<store::Store> store;
  std::unique_ptr<store::SigningKey> key;
  std::unique_ptr<store::NodeCorpus> corpus;
  policies::Policy policy;
  std::unique_ptr<store::ObjectCache> objects;
  std::unique_ptr<FakeJobs> jobs;
  std::unique_ptr<FakeImporter> importer;
  std::string workload, job, baseline, tuned, slower;

  World() {
    const std::filesystem::path state = folder.path / "state";
    std::filesystem::create_directories(state / "keys");
    store = store::Store::open({.directory = state, .ballast_bytes = 4096});
    key = store::SigningKey::load_or_create(state / "keys/node.pem");
    policy = policies::load_policy(std::filesystem::path(KILN_SOURCE_DIR) / "policies/default.toml");
    corpus = std::make_unique<store::NodeCorpus>(small_corpus(), *store);
    objects = std::make_unique<store::ObjectCache>(state / "objects", 1 << 20);
    jobs = std::make_unique<FakeJobs>(*store, *corpus);
    importer = std::make_unique<FakeImporter>(*store);
    seed();
  }

  Services services() { return {*store, *corpus, *key, policy, *objects, *importer, *jobs}; }

 private:
  // `comparison`: what the job found; empty: nothing was compared.
  std::string release(const std::string& kind, int threads, const std::string& comparison = {}) {
    store::ReleaseContent content;
    content.plan = {{"run", json::array{}}, {"objects", json::array{}}, {"threads", threads},
                    {"constants_bytes", 0}, {"prepared_bytes", 0},      {"temporary_bytes", 0}};
    const std::filesystem::path staged = store->directory() / "staging" / kind;
    store::ReleaseRow row;
    row.id = store::write_release(*store, content, staged);
    row.workload = workload;
    row.job = job;
    row.kind = kind;
    if (!comparison.empty())
      row.summary = {{"decision", json::object{{"comparison", comparison}, {"reason", "kept the incumbent"}}}};
    return store->add_release(row, staged).id;
  }

  void seed() {
    store::Workload w;
    w.name = "minilm";
    w.model = store->put_blob("a model");
    w.graph = store->put_blob("{\"nodes\":[]}");
    w.id = workload = "w-" + w.graph.substr(0, 12);
    store->add_workload(w);
    job = store->add_job(workload, {{"seed", 1}}).id;
    store::JobEntry entry;
    entry.kind = "clock";
    entry.request_digest = std::string(64, '0');
    entry.content = store->put_blob("{\"ns\":1}");
    store->append_entry(job, entry);
    baseline = release("baseline", 1);
    tuned = release("tuned", 2, "faster");
    slower = release("tuned", 3, "slower");
    store->set_current(baseline);
    store->set_current(tuned);
    const std::string statement = "{\"_type\":\"https://in-toto.io/Statement/v1\"}";
    const json::object report{{"envelope", store->put_blob(store::sign_envelope(*key, statement))},
                              {"sshsig", store->put_blob(store::sign_ssh(*key, statement, store::kSshNamespace))},
                              {"statement", store->put_blob(statement)},
                              {"html", store->put_blob("<!doctype html><title>report</title>")}};
    const json::object artifacts{{"bench_results.csv", store->put_blob("region,ns\nr0,1\n")},
                                 {"candidate_variants.json", store->put_blob("[{\"template\":\"matmul/packed\"}]")}};
    store->set_job_state(job, store::JobState::done, {},
                         {{"decision", json::object{}},
                          {"releases", json::object{{"baseline", baseline}, {"tuned", tuned}}},
                          {"artifacts", artifacts},
                          {"report", report},
                          {"speed_up", json::object{{"ratio", 1.5}}}});
    store->add_event("job.state", job, {{"state", "done"}});
    store->add_event("job.state", "j-other", {{"state", "queued"}});
    store->add_event("release.added", tuned, {{"job", job}});
  }
};

}  // namespace kiln::control::testing
