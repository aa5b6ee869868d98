// A library to preload (LD_PRELOAD): counts what a process has from malloc and its kin, and what it holds mapped, so
// that the memory of one call of anybody's code can be read off. tests/bench/memory_peak.py asks it.
//
// Blocks of the heap count as malloc rounds them. Anonymous mappings that the program makes itself count by the pages
// that it has touched, at the moment of asking: an arena that is reserved and never written costs nothing. What the C
// library maps for itself (its heaps, thread stacks) does not pass through here.
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* block, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
void __libc_free(void* block);
}

namespace {

std::atomic<std::int64_t> live{0}, most{0};

void* add(void* block) {
  if (!block) return block;
  const auto bytes = static_cast<std::int64_t>(malloc_usable_size(block));
  const std::int64_t now = live.fetch_add(bytes) + bytes;
  std::int64_t before = most.load();
  while (before < now && !most.compare_exchange_weak(before, now)) {}
  return block;
}

void drop(void* block) {
  if (block) live.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(block)));
}

struct Range { std::uintptr_t begin = 0, end = 0; };

// Fixed, since whoever maps may be the allocator itself; a program with more mappings than this is counted short.
struct Mappings {
  std::mutex access;
  std::array<Range, 8192> ranges;
  std::size_t count = 0;

  void add(void* at, std::size_t bytes) {
    const std::lock_guard lock(access);
    const auto begin = reinterpret_cast<std::uintptr_t>(at);
    if (count < ranges.size()) ranges[count++] = {begin, begin + bytes};
  }
  void drop(void* at, std::size_t bytes) {
    const std::lock_guard lock(access);
    const auto begin = reinterpret_cast<std::uintptr_t>(at), end = begin + bytes;
    for (std::size_t i = 0; i < count; ++i) {
      const Range was = ranges[i];
      if (was.end <= begin || end <= was.begin) continue;
      ranges[i] = {was.begin, std::max(was.begin, std::min(was.end, begin))};
      if (end < was.end && count < ranges.size()) ranges[count++] = {end, was.end};
    }
    count = static_cast<std::size_t>(
        std::remove_if(ranges.begin(), ranges.begin() + static_cast<std::ptrdiff_t>(count),
                       [](const Range& r) { return r.begin == r.end; }) - ranges.begin());
  }
};

Mappings& mappings() {
  static Mappings all;
  return all;
}

}  // namespace

extern "C" {

// Bytes of the heap in use, and the most of them since memory_count_restart().
std::int64_t memory_count_live() { return live.load(); }
std::int64_t memory_count_most() { return most.load(); }
void memory_count_restart() { most.store(live.load()); }

// Touched bytes of the program's own anonymous mappings.
std::int64_t memory_count_mapped() {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident;
  std::int64_t pages = 0;
  const std::lock_guard lock(mappings().access);
  for (std::size_t i = 0; i < mappings().count; ++i) {
    const std::uintptr_t begin = mappings().ranges[i].begin / page * page, end = mappings().ranges[i].end;
    resident.resize((end - begin + page - 1) / page);
    if (::mincore(reinterpret_cast<void*>(begin), end - begin, resident.data()) != 0) continue;
    pages += std::count_if(resident.begin(), resident.end(), [](unsigned char c) { return (c & 1) != 0; });
  }
  return pages * static_cast<std::int64_t>(page);
}

void* malloc(std::size_t bytes) { return add(__libc_malloc(bytes)); }
void* calloc(std::size_t count, std::size_t bytes) { return add(__libc_calloc(count, bytes)); }
void* memalign(std::size_t alignment, std::size_t bytes) { return add(__libc_memalign(alignment, bytes)); }
void* aligned_alloc(std::size_t alignment, std::size_t bytes) { return add(__libc_memalign(alignment, bytes)); }
void* valloc(std::size_t bytes) { return add(__libc_memalign(4096, bytes)); }
int posix_memalign(void** out, std::size_t alignment, std::size_t bytes) {
  void* block = __libc_memalign(alignment, bytes);
  if (!block) return ENOMEM;
  *out = add(block);
  return 0;
}
void* realloc(void* block, std::size_t bytes) {
  drop(block);
  void* moved = __libc_realloc(block, bytes);
  if (!moved && block && bytes != 0) add(block);  // it stays where it was
  return add(moved);
}
void free(void* block) {
  drop(block);
  __libc_free(block);
}

void* mmap(void* at, std::size_t bytes, int protection, int flags, int file, off_t offset) {
  void* mapped = reinterpret_cast<void*>(::syscall(SYS_mmap, at, bytes, protection, flags, file, offset));
  if (mapped == MAP_FAILED) return mapped;
  if ((flags & MAP_FIXED) != 0) mappings().drop(mapped, bytes);
  if ((flags & MAP_ANONYMOUS) != 0 && (protection & PROT_WRITE) != 0) mappings().add(mapped, bytes);
  return mapped;
}
void* mmap64(void* at, std::size_t bytes, int protection, int flags, int file, off_t offset) {
  return mmap(at, bytes, protection, flags, file, offset);
}
int munmap(void* at, std::size_t bytes) {
  mappings().drop(at, bytes);
  return static_cast<int>(::syscall(SYS_munmap, at, bytes));
}

}  // extern "C"
