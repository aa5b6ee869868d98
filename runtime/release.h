// A loaded release for a CPU: checked files, open code objects, mapped constants, and what the prepare launches made of
// them. Immutable once opened; sessions share it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/folder.h"
#include "runtime/kernel_abi.h"
#include "runtime/thread_pool.h"

namespace kiln::runtime {

struct CloseObject {
  void operator()(void* handle) const;
};
using Object = std::unique_ptr<void, CloseObject>;

struct Entry {
  kiln_kernel_fn kernel = nullptr;
  kiln_create_fn create = nullptr;  // null unless the launch has state
  kiln_destroy_fn destroy = nullptr;
};

class Release {
 public:
  // Throws Failure.
  Release(const Folder& folder, const kiln_options& options);

  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] std::int32_t threads() const { return threads_; }
  [[nodiscard]] const std::vector<Entry>& run_entries() const { return run_entries_; }
  // Where a constant or prepared buffer is; null for the others.
  [[nodiscard]] std::byte* address(const Buffer& b) const;

 private:
  void load_objects(const Folder& folder);
  void prepare();

  Plan plan_;
  std::string id_;
  std::int32_t threads_ = 1;
  Mapping constants_, prepared_;
  std::vector<Object> objects_;
  std::vector<Entry> prepare_entries_, run_entries_;
};

// What runs a list of launches: the states of their kernels, a pool, and where each argument is. States are created
// once per (object, symbol) of a session, so that a vendor library's primitives are never shared between two callers.
class Launcher {
 public:
  // `temporary`: the arena of temporaries, where launches may have their scratch.
  Launcher(const Release& release, const std::vector<Launch>& launches, const std::vector<Entry>& entries,
           std::byte* temporary);
  ~Launcher();
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  // `address` has one pointer per buffer of the plan. `launch_ns` may be null.
  void run(const std::vector<std::byte*>& address, double* launch_ns);
  void wake() { pool_.wake(); }

 private:
  struct State {
    std::int32_t object;
    std::string symbol;
    std::vector<std::int32_t> constants;
    void* value;
    kiln_destroy_fn destroy;
  };
  void create_states(const Release& release);

  const std::vector<Launch>& launches_;
  const std::vector<Entry>& entries_;
  std::vector<State> states_;
  std::vector<void*> launch_state_;  // parallel to launches_
  std::vector<std::byte*> scratch_;  // in the arena, or null: the pool's; parallel to launches_
  std::vector<void*> args_;          // of the launch that runs; as long as the longest
  ThreadPool pool_;
};

}  // namespace kiln::runtime
