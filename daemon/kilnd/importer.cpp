#include "daemon/kilnd/importer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "daemon/worker/importer.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"

namespace kiln::kilnd {
namespace {

constexpr std::size_t kWaiting = 8;

void check_name(const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  const bool good = !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), allowed) &&
                    name[0] != '.' && name[0] != '-' && name[0] != '_';
  if (!good)
    throw Error(ErrorCode::invalid_input, "cannot name a workload '" + name + "': a name is [a-z0-9][a-z0-9._-]{0,63}");
}

store::Workload import_now(const JobEnvironment& env, const control::ImportRequest& request) {
  check_name(request.name);
  env.store.keep_blob(request.model);
  for (const auto& [location, digest] : request.external) env.store.keep_blob(digest);
  worker::ImportJob job;
  job.worker = env.worker;
  job.model = env.store.blob_path(request.model);
  job.file_name = request.file_name.empty() ? request.name : request.file_name;
  job.dimensions = request.dimensions;
  for (const auto& [location, digest] : request.external) job.external[location] = env.store.blob_path(digest);
  const worker::Imported imported = worker::import_in_worker(job);

  store::Workload workload;
  workload.name = request.name;
  workload.model = request.model;
  workload.graph = env.store.put_blob(imported.graph);
  if (!imported.constants.empty()) workload.constants = env.store.put_blob(imported.constants);
  // Two models may have one structure and other weights: the identity covers both.
  workload.id = "w-" + sha256_hex(workload.graph + workload.constants).substr(0, 12);
  json::object dimensions, external;
  for (const auto& [name, extent] : request.dimensions) dimensions[name] = extent;
  for (const auto& [location, digest] : request.external) external[location] = digest;
  workload.import = {{"file_name", job.file_name},
                     {"dimensions", dimensions},
                     {"external", external},
                     {"rewrites", json::to_array(imported.rewrites)}};
  env.store.add_workload(workload);
  env.store.add_event("workload.added", workload.id, json::object{{"name", workload.name}});
  return env.store.workload(workload.id);
}

// One import at a time: each may need as much memory as its model has bytes.
class WorkerImporter : public control::ModelImporter {
 public:
  explicit WorkerImporter(JobEnvironment env)
      : env_(std::move(env)), thread_([this](const std::stop_token& stop) { loop(stop); }) {}
  ~WorkerImporter() override {
    thread_.request_stop();
    wake_.notify_all();
  }
  WorkerImporter(const WorkerImporter&) = delete;
  WorkerImporter& operator=(const WorkerImporter&) = delete;

  void import_model(const control::ImportRequest& request, control::Done<store::Workload> done) override {
    {
      const std::lock_guard lock(mutex_);
      if (queue_.size() >= kWaiting)
        throw Error(ErrorCode::limit,
                    "cannot import '" + request.name + "': " + std::to_string(kWaiting) + " imports are waiting",
                    "try again later");
      queue_.push_back({request, std::move(done)});
    }
    wake_.notify_one();
  }

 private:
  struct Item {
    control::ImportRequest request;
    control::Done<store::Workload> done;
  };

  void loop(const std::stop_token& stop) {
    for (;;) {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [&] { return !queue_.empty(); })) return;
      Item item = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      store::Workload workload;
      std::exception_ptr failure;
      try {
        workload = import_now(env_, item.request);
      } catch (...) {
        failure = std::current_exception();
      }
      item.done(failure, std::move(workload));
    }
  }

  const JobEnvironment env_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Item> queue_;  // guarded by mutex_
  std::jthread thread_;     // last: starts when all else is there
};

}  // namespace

std::unique_ptr<control::ModelImporter> make_importer(JobEnvironment env) {
  return std::make_unique<WorkerImporter>(std::move(env));
}

}  // namespace kiln::kilnd
