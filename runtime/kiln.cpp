// The C interface: checks arguments, turns every exception into a status and a text, and holds nothing else.
#include "runtime/kiln.h"

#include <algorithm>
#include <memory>
#include <new>
#include <string>

#include "runtime/base/error.h"
#include "runtime/cuda/device_release.h"
#include "runtime/failure.h"
#include "runtime/release.h"
#include "runtime/session.h"

// One of the two, by the plan's target.
struct kiln_release {
  std::unique_ptr<kiln::runtime::Release> cpu;
  std::unique_ptr<kiln::runtime::cuda::DeviceRelease> gpu;
  [[nodiscard]] const kiln::runtime::Plan& plan() const { return gpu ? gpu->plan() : cpu->plan(); }
  [[nodiscard]] const std::string& id() const { return gpu ? gpu->id() : cpu->id(); }
};
struct kiln_session {
  std::unique_ptr<kiln::runtime::Session> cpu;
  std::unique_ptr<kiln::runtime::cuda::DeviceSession> gpu;
};

namespace {

using kiln::runtime::Failure;

thread_local std::string last_error;

kiln_status fail(kiln_status status, const char* text) noexcept {
  try {
    last_error = text;
  } catch (...) {
    last_error.clear();  // no memory even for the text: the status still says what happened
  }
  return status;
}

kiln_status status_of(kiln::ErrorCode code) {
  switch (code) {
    case kiln::ErrorCode::io:
    case kiln::ErrorCode::not_found: return KILN_E_IO;
    default: return KILN_E_FORMAT;
  }
}

template <class Body>
kiln_status guarded(Body body) noexcept {
  try {
    body();
    return KILN_OK;
  } catch (const Failure& e) {
    return fail(e.status(), e.what());
  } catch (const kiln::Error& e) {
    return fail(status_of(e.code()), e.what());
  } catch (const std::bad_alloc&) {
    return fail(KILN_E_MEMORY, "cannot go on: out of memory");
  } catch (const std::exception& e) {
    return fail(KILN_E_MEMORY, e.what());  // what is left is std::system_error of a thread that cannot be started
  } catch (...) {
    return fail(KILN_E_LOAD, "cannot go on: a code object threw an exception");
  }
}

kiln_status null_argument() { return fail(KILN_E_ARGUMENT, "cannot go on: an argument is null"); }

kiln_status info(const std::vector<kiln::runtime::Tensor>& tensors, int32_t index, kiln_tensor_info* out) {
  if (index < 0 || static_cast<std::size_t>(index) >= tensors.size())
    return fail(KILN_E_ARGUMENT, "cannot describe the tensor: its index is out of range");
  const kiln::runtime::Tensor& t = tensors[static_cast<std::size_t>(index)];
  *out = {t.name.c_str(), t.dtype, static_cast<int32_t>(t.shape.size()), t.shape.data(), t.bytes};
  return KILN_OK;
}

// "f32[8, 64]".
std::string describe(kiln_dtype dtype, const int64_t* shape, std::size_t rank) {
  std::string text = kiln::runtime::type_name(dtype) + "[";
  for (std::size_t d = 0; d < rank; ++d) text += (d == 0 ? "" : ", ") + std::to_string(shape[d]);
  return text + "]";
}

void require_accepted(const std::vector<kiln::runtime::Tensor>& wanted, const kiln_tensor_info* given,
                      std::size_t count) {
  if (count != wanted.size())
    throw Failure(KILN_E_SHAPE, "cannot take " + std::to_string(count) + " inputs: the release is for " +
                                    std::to_string(wanted.size()));
  for (std::size_t i = 0; i < count; ++i) {
    const kiln::runtime::Tensor& want = wanted[i];
    const kiln_tensor_info& have = given[i];
    if (have.rank < 0 || (have.rank > 0 && !have.shape))
      throw Failure(KILN_E_ARGUMENT, "cannot go on: an input has no shape");
    const auto rank = static_cast<std::size_t>(have.rank);
    if (have.dtype != want.dtype || !std::equal(want.shape.begin(), want.shape.end(), have.shape, have.shape + rank))
      throw Failure(KILN_E_SHAPE, "cannot take input '" + want.name + "' as " +
                                      describe(have.dtype, have.shape, rank) + ": the release is for " +
                                      describe(want.dtype, want.shape.data(), want.shape.size()));
  }
}

kiln_status run(kiln_session* session, const void* const* inputs, void* const* outputs, double* launch_ns) {
  if (!session->cpu) return fail(KILN_E_ARGUMENT, "cannot run: the plan is for a GPU, which kiln_enqueue() runs");
  return guarded([&] { session->cpu->run(inputs, outputs, launch_ns); });
}

kiln_release* open(const char* directory, const kiln_options& options) {
  const kiln::runtime::Folder folder = kiln::runtime::open_folder(directory, options.verify_digests != 0);
  auto release = std::make_unique<kiln_release>();
  if (folder.plan.target == kiln::runtime::Target::cuda)
    release->gpu = std::make_unique<kiln::runtime::cuda::DeviceRelease>(folder, options.device_constants);
  else
    release->cpu = std::make_unique<kiln::runtime::Release>(folder, options);
  return release.release();
}

kiln_session* create_session(const kiln_release& release) {
  auto session = std::make_unique<kiln_session>();
  if (release.gpu) session->gpu = std::make_unique<kiln::runtime::cuda::DeviceSession>(*release.gpu);
  else session->cpu = std::make_unique<kiln::runtime::Session>(*release.cpu);
  return session.release();
}

}  // namespace

extern "C" {

kiln_options kiln_options_default(void) { return {0, 1, nullptr}; }

kiln_status kiln_open(const char* directory, const kiln_options* options, kiln_release** out) {
  if (!out) return null_argument();
  *out = nullptr;
  if (!directory) return null_argument();
  return guarded([&] { *out = open(directory, options ? *options : kiln_options_default()); });
}

void kiln_close(kiln_release* release) { delete release; }

const char* kiln_target(const kiln_release* release) { return !release ? "" : release->gpu ? "cuda" : "cpu"; }

const char* kiln_release_id(const kiln_release* release) { return release ? release->id().c_str() : ""; }

int32_t kiln_input_count(const kiln_release* release) {
  return release ? static_cast<int32_t>(release->plan().inputs.size()) : 0;
}
int32_t kiln_output_count(const kiln_release* release) {
  return release ? static_cast<int32_t>(release->plan().outputs.size()) : 0;
}
kiln_status kiln_input_info(const kiln_release* release, int32_t index, kiln_tensor_info* out) {
  return release && out ? info(release->plan().inputs, index, out) : null_argument();
}
kiln_status kiln_output_info(const kiln_release* release, int32_t index, kiln_tensor_info* out) {
  return release && out ? info(release->plan().outputs, index, out) : null_argument();
}

kiln_status kiln_accepts(const kiln_release* release, const kiln_tensor_info* inputs, int32_t count) {
  if (!release || count < 0 || (count > 0 && !inputs)) return null_argument();
  return guarded([&] { require_accepted(release->plan().inputs, inputs, static_cast<std::size_t>(count)); });
}

kiln_status kiln_session_create(kiln_release* release, kiln_session** out) {
  if (!out) return null_argument();
  *out = nullptr;
  if (!release) return null_argument();
  return guarded([&] { *out = create_session(*release); });
}

void kiln_session_destroy(kiln_session* session) { delete session; }

kiln_status kiln_session_wake(kiln_session* session) {
  if (!session) return null_argument();
  return guarded([&] {
    if (session->cpu) session->cpu->wake();
  });
}

kiln_status kiln_run(kiln_session* session, const void* const* inputs, void* const* outputs) {
  if (!session || !inputs || !outputs) return null_argument();
  return run(session, inputs, outputs, nullptr);
}

kiln_status kiln_run_timed(kiln_session* session, const void* const* inputs, void* const* outputs, double* launch_ns) {
  if (!session || !inputs || !outputs || !launch_ns) return null_argument();
  return run(session, inputs, outputs, launch_ns);
}

kiln_status kiln_enqueue(kiln_session* session, const void* const* inputs, void* const* outputs, void* stream) {
  if (!session || !inputs || !outputs) return null_argument();
  if (!session->gpu) return fail(KILN_E_ARGUMENT, "cannot enqueue: the plan is for a CPU, which kiln_run() runs");
  return guarded([&] { session->gpu->enqueue(inputs, outputs, static_cast<kiln::cuda::Stream>(stream)); });
}

int32_t kiln_launch_count(const kiln_release* release) {
  return release ? static_cast<int32_t>(release->plan().run.size()) : 0;
}

const char* kiln_launch_label(const kiln_release* release, int32_t index) {
  if (!release || index < 0 || index >= kiln_launch_count(release)) return "";
  return release->plan().run[static_cast<std::size_t>(index)].label.c_str();
}

int64_t kiln_peak_bytes(const kiln_release* release) {
  if (!release) return 0;
  const kiln::runtime::Plan& p = release->plan();
  return p.constants_bytes + p.prepared_bytes + p.temporary_bytes;
}

const char* kiln_status_name(kiln_status status) {
  switch (status) {
    case KILN_OK: return "ok";
    case KILN_E_ARGUMENT: return "argument";
    case KILN_E_IO: return "io";
    case KILN_E_FORMAT: return "format";
    case KILN_E_DIGEST: return "digest";
    case KILN_E_TARGET: return "target";
    case KILN_E_LOAD: return "load";
    case KILN_E_MEMORY: return "memory";
    case KILN_E_DEVICE: return "device";
    case KILN_E_SHAPE: return "shape";
  }
  return "unknown";
}

const char* kiln_last_error(void) { return last_error.c_str(); }
const char* kiln_version(void) { return "0.1.0"; }

}  // extern "C"
