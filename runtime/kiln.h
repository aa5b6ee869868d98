/* libkiln: loads a release directory and runs its plan. C ABI; no dependency but the C++ runtime. A plan for a GPU
 * needs its driver, which is found when the release is opened.
 *
 * Threads: a kiln_release is immutable and may be shared; a kiln_session runs one call at a time. kiln_last_error() is
 * per thread. No call aborts, throws or prints. After kiln_session_create() nothing is allocated by kiln_run().
 *
 * A session's threads watch for the next launch for some 30 us and then sleep. kiln_session_wake() wakes them ahead of
 * a call.
 */
#ifndef KILN_H
#define KILN_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KILN_API __attribute__((visibility("default")))

typedef enum kiln_status {
  KILN_OK = 0,
  KILN_E_ARGUMENT = 1, /* null or inconsistent argument */
  KILN_E_IO = 2,       /* a file cannot be read */
  KILN_E_FORMAT = 3,   /* manifest or plan malformed, or of a newer format */
  KILN_E_DIGEST = 4,   /* a file is not what the manifest says */
  KILN_E_TARGET = 5,   /* made for another CPU or device; fall back */
  KILN_E_LOAD = 6,     /* a code object cannot be loaded */
  KILN_E_MEMORY = 7,
  KILN_E_DEVICE = 8,   /* the GPU or its driver failed; after a fault in a kernel the process has to end */
  KILN_E_SHAPE = 9     /* the release is for other shapes or types; fall back */
} kiln_status;

typedef enum kiln_dtype {
  KILN_F64, KILN_F32, KILN_F16, KILN_BF16, KILN_I64, KILN_I32, KILN_I16, KILN_I8,
  KILN_U64, KILN_U32, KILN_U16, KILN_U8, KILN_BOOL
} kiln_dtype;

typedef struct kiln_release kiln_release;
typedef struct kiln_session kiln_session;

typedef struct kiln_tensor_info {
  const char* name;      /* owned by the release */
  kiln_dtype dtype;
  int32_t rank;
  const int64_t* shape;  /* owned by the release */
  int64_t bytes;
} kiln_tensor_info;

typedef struct kiln_options {
  int32_t threads;        /* 0: what the plan was tuned for */
  int32_t verify_digests; /* nonzero: hash every file before use (the default of kiln_options_default) */
  /* Of a plan for a GPU: null, or where the device's memory has the bytes of constants.bin already; they are copied
   * from there, on the device, before kiln_open() returns. */
  const void* device_constants;
} kiln_options;

KILN_API kiln_options kiln_options_default(void);
/* `directory` holds manifest.json. `options` may be null. On failure *out is null and kiln_last_error() says why. */
KILN_API kiln_status kiln_open(const char* directory, const kiln_options* options, kiln_release** out);
KILN_API void kiln_close(kiln_release* release); /* after its sessions are destroyed; null is allowed */
KILN_API const char* kiln_target(const kiln_release* release);     /* "cpu": kiln_run(); "cuda": kiln_enqueue() */
KILN_API const char* kiln_release_id(const kiln_release* release); /* SHA-256 of the manifest, hex */

KILN_API int32_t kiln_input_count(const kiln_release* release);
KILN_API int32_t kiln_output_count(const kiln_release* release);
KILN_API kiln_status kiln_input_info(const kiln_release* release, int32_t index, kiln_tensor_info* out);
KILN_API kiln_status kiln_output_info(const kiln_release* release, int32_t index, kiln_tensor_info* out);
/* Whether inputs of these types and shapes, in the order of the plan, are what the release was verified for: KILN_OK,
 * or KILN_E_SHAPE with the first that differs in kiln_last_error(). A release is for one shape of each input, and
 * kiln_run() takes bare pointers: a caller whose shapes vary asks first. Names and bytes are not looked at. */
KILN_API kiln_status kiln_accepts(const kiln_release* release, const kiln_tensor_info* inputs, int32_t count);

KILN_API kiln_status kiln_session_create(kiln_release* release, kiln_session** out);
KILN_API void kiln_session_destroy(kiln_session* session);
/* Wakes the session's threads and returns when all run, for a caller who knows that a call is coming: the wake-up, some
 * 50 us each, is otherwise part of the first launches. */
KILN_API kiln_status kiln_session_wake(kiln_session* session);
/* Dense row-major buffers in the order of the plan; at least as many bytes as the infos say. Any alignment: buffers
 * that are not 64-byte aligned are copied. */
KILN_API kiln_status kiln_run(kiln_session* session, const void* const* inputs, void* const* outputs);
/* The same, and writes the wall time of each run launch in nanoseconds to launch_ns[0..kiln_launch_count). */
KILN_API kiln_status kiln_run_timed(kiln_session* session, const void* const* inputs, void* const* outputs,
                                    double* launch_ns);
/* For a plan for a GPU: the buffers are its device's memory, 16-byte aligned, and the call returns when the work is on
 * `stream`, a CUstream of the context that was current when the release was opened (null: the default stream).
 * Allocates nothing, so that the stream may be capturing a graph. The buffers stay in use until the stream has done the
 * work, and so do the session's own: a session's calls go to one stream, or wait for each other. */
KILN_API kiln_status kiln_enqueue(kiln_session* session, const void* const* inputs, void* const* outputs, void* stream);
KILN_API int32_t kiln_launch_count(const kiln_release* release);
KILN_API const char* kiln_launch_label(const kiln_release* release, int32_t index);
KILN_API int64_t kiln_peak_bytes(const kiln_release* release); /* constants, prepared and temporary buffers */

KILN_API const char* kiln_status_name(kiln_status status);
KILN_API const char* kiln_last_error(void);
KILN_API const char* kiln_version(void);

#ifdef __cplusplus
}
#endif
#endif
