// What a code object would bring into the process that loads it, read from its bytes and not by loading it. A kernel
// computes outputs from its arguments: it needs no function of anybody else, no memory that outlives a call, and
// nothing that runs when it is loaded.
//
// Fields and numbers: System V ABI, "Object Files"; Linux Extensions of the LSB (PT_GNU_RELRO, PT_GNU_STACK).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace kiln::targets::cpu {

struct ObjectAudit {
  std::vector<std::string> imports;    // functions and data of other objects, without the C library's start-up hooks
  std::vector<std::string> libraries;  // DT_NEEDED
  std::int64_t writable_bytes = 0;     // that stay writable after relocation: .data and .bss
  std::int64_t thread_local_bytes = 0;
  bool runs_at_load = false;           // constructors, DT_INIT, or indirect functions
  bool writable_code = false;          // a segment or the stack both writable and executable
};

// Throws Error(corrupt) for anything but a well-formed 64-bit little-endian shared object.
[[nodiscard]] ObjectAudit audit_object(std::span<const std::byte> object);

// Why a kernel that links no library must not be loaded; empty when nothing speaks against it. Functions of memory and
// of the C mathematics library are free: they keep nothing and reach nothing.
[[nodiscard]] std::string forbidden_in_kernel(const ObjectAudit& audit);

}  // namespace kiln::targets::cpu
