// A loaded release for a GPU: modules in the caller's context, constants in its memory, and what the prepare launches
// made of them. Immutable once opened; sessions share it.
//
// Context: the one that is current when the release is opened, or the primary context of the first device when there
// is none, which is then kept until the release is closed. Later calls may come from any thread; they make it current
// for their time.
#pragma once

#include <array>
#include <vector>

#include "runtime/cuda/driver.h"
#include "runtime/folder.h"

namespace kiln::runtime::cuda {

using kiln::cuda::Context;
using kiln::cuda::DevicePointer;
using kiln::cuda::DriverApi;
using kiln::cuda::Result;
using kiln::cuda::Stream;

// What a failed call of the driver becomes: Failure(KILN_E_MEMORY | KILN_E_TARGET | KILN_E_DEVICE).
void require(const DriverApi& api, Result result, const std::string& what);

// Makes a context current for its scope.
class InContext {
 public:
  InContext(const DriverApi& api, Context context);
  ~InContext();
  InContext(const InContext&) = delete;
  InContext& operator=(const InContext&) = delete;

 private:
  const DriverApi& api_;
  Context before_ = nullptr;
  bool changed_ = false;
};

// Device memory, 256-byte aligned; empty for 0 bytes.
class Arena {
 public:
  Arena() = default;
  Arena(const DriverApi& api, Context context, std::int64_t bytes);
  ~Arena();
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;

  [[nodiscard]] DevicePointer address() const { return address_; }

 private:
  const DriverApi* api_ = nullptr;
  Context context_ = nullptr;
  DevicePointer address_ = 0;
};

class DeviceRelease {
 public:
  // `constants`: null, or the device's copy of the folder's, which is copied then. Throws Failure.
  DeviceRelease(const Folder& folder, const void* constants);
  ~DeviceRelease();
  DeviceRelease(const DeviceRelease&) = delete;
  DeviceRelease& operator=(const DeviceRelease&) = delete;

  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const DriverApi& api() const { return api_; }
  [[nodiscard]] Context context() const { return context_; }
  [[nodiscard]] const std::vector<kiln::cuda::Function>& run_functions() const { return run_functions_; }
  // Where a constant or prepared buffer is; 0 for the others.
  [[nodiscard]] DevicePointer address(const Buffer& b) const;

 private:
  void take_context();
  void check_device() const;
  void load_constants(const Folder& folder, const void* on_device);
  void load_modules(const Folder& folder);
  [[nodiscard]] std::vector<kiln::cuda::Function> resolve(const std::vector<Launch>& launches) const;
  void require_side_by_side(kiln::cuda::Function function, const Launch& launch) const;
  void prepare();
  void release_all() noexcept;

  const Plan plan_;
  const std::string id_;
  const DriverApi api_;
  Context context_ = nullptr;
  bool retained_ = false;  // the primary context, which is given back at the end
  std::vector<kiln::cuda::Module> modules_;
  std::vector<kiln::cuda::Function> prepare_functions_, run_functions_;
  Arena constants_, prepared_;
};

// What one launch may have: a cluster or that its blocks run side by side, and that it waits by itself.
using LaunchAttributes = std::array<kiln::cuda::LaunchAttribute, 2>;

// Puts a list of launches on a stream. Everything that does not change is made ready once: a call fills in the
// caller's addresses and allocates nothing, so that it can be recorded into a graph.
class DeviceLauncher {
 public:
  DeviceLauncher(const DriverApi& api, const std::vector<Launch>& launches,
                 const std::vector<kiln::cuda::Function>& functions);
  // `address` has one per buffer of the plan.
  void enqueue(const std::vector<DevicePointer>& address, Stream stream);

 private:
  const DriverApi& api_;
  const std::vector<Launch>& launches_;
  const std::vector<kiln::cuda::Function>& functions_;
  std::vector<kiln::cuda::LaunchConfig> configs_;
  std::vector<LaunchAttributes> attributes_;  // per launch
  std::vector<DevicePointer> arguments_;      // of the launch that is put on the stream
};

// One caller's use of a release: its own temporary arena. One call at a time.
class DeviceSession {
 public:
  explicit DeviceSession(const DeviceRelease& release);
  // Device pointers in the order of the plan, 16-byte aligned. Throws Failure.
  void enqueue(const void* const* inputs, void* const* outputs, Stream stream);

 private:
  const DeviceRelease& release_;
  Arena temporary_;
  std::vector<DevicePointer> address_;        // per buffer of the plan
  std::vector<std::size_t> callers_buffers_;  // those that change with each call
  DeviceLauncher launcher_;
};

}  // namespace kiln::runtime::cuda
