/* What a CPU code object exports, and all that a kernel may know of its caller. C, so that any compiler can target it.
 *
 * A kernel is   void symbol(void* const* args, const struct kiln_task* task)
 * `args` are the launch's buffers in the order of the plan. libkiln calls it once per task index, from several threads
 * at once, in any order; a launch ends before the next begins. Buffers are 64-byte aligned. A kernel allocates nothing,
 * starts no thread, and touches nothing but its args and its scratch.
 */
#ifndef KILN_KERNEL_ABI_H
#define KILN_KERNEL_ABI_H
#include <stdint.h>

#define KILN_KERNEL_ABI_VERSION 1

struct kiln_task {
  int64_t index;   /* 0 .. count-1 */
  int64_t count;   /* the launch's tasks */
  void* scratch;   /* this thread's, at least the launch's scratch_bytes, 64-byte aligned, contents undefined */
  void* state;     /* what <symbol>_create returned, or null */
  int32_t threads; /* threads that the plan runs on */
};

typedef void (*kiln_kernel_fn)(void* const* args, const struct kiln_task* task);
/* Optional, for vendor libraries that keep primitives: called once per session, kernel and set of constant buffers
 * among the args, so that a state may keep what it made of a weight; null means failure. */
typedef void* (*kiln_create_fn)(int32_t threads);
typedef void (*kiln_destroy_fn)(void* state);

#endif
