#include "daemon/worker/inside/code_objects.h"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <span>

#include "daemon/targets/cpu/audit.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

namespace kiln::worker {

namespace {

// What is no object at all is no vendor's either.
bool is_plain(const std::string& bytes) {
  try {
    return targets::cpu::forbidden_in_kernel(targets::cpu::audit_object(std::as_bytes(std::span(bytes)))).empty();
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

bool CodeObjects::load(const std::string& directory) {
  if (const auto known = plain_.find(directory); known != plain_.end()) return known->second;
  // As libkiln names them (runtime/release.cpp): the loader knows a name that it has seen, and maps nothing again.
  const std::filesystem::path folder = std::filesystem::absolute(directory) / "objects";
  std::error_code none;
  bool plain = true;
  for (const auto& file : std::filesystem::directory_iterator(folder, none)) {
    if (!is_plain(read_file(file.path()))) plain = false;
    (void)::dlopen(file.path().c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed
  }
  plain_.emplace(directory, plain);  // not before all of it was read
  return plain;
}

std::vector<std::size_t> vendors_first(CodeObjects& objects, const std::vector<std::string>& directories) {
  std::vector<std::size_t> order(directories.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_partition(order.begin(), order.end(), [&](std::size_t i) { return !objects.load(directories[i]); });
  return order;
}

}  // namespace kiln::worker
