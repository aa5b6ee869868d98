#include "daemon/worker/inside/gpu_role.h"

#include <cstdlib>
#include <filesystem>

namespace kiln::worker {

std::vector<std::filesystem::path> library_folders() {
  std::vector<std::filesystem::path> out;
  const char* variable = std::getenv("LD_LIBRARY_PATH");
  std::string text = variable ? variable : "";
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(':'), text.size());
    if (end > 0) out.emplace_back(text.substr(0, end));
    text.erase(0, end + 1);
  }
  return out;
}

SandboxRules gpu_rules(const std::string& staging) {
  SandboxRules rules;
  rules.read = {staging, "/proc", "/sys"};
  for (const std::filesystem::path& folder : library_folders()) rules.read.push_back(folder);
  rules.write = {"/proc/self"};
  std::error_code ignored;  // without /dev there is no device, which the driver will say
  for (const auto& entry : std::filesystem::directory_iterator("/dev", ignored))
    if (entry.path().filename().string().starts_with("nvidia")) rules.write.push_back(entry.path());
  rules.file_bytes = std::int64_t{1} << 36;
  rules.stays_dumpable = true;
  rules.may_listen_locally = true;
  return rules;
}

std::int32_t ordinal_of(const std::string& argument) { return std::atoi(argument.c_str()); }

targets::cuda::Gpu& LazyGpu::get() {
  if (!gpu_) gpu_ = std::make_unique<targets::cuda::Gpu>(ordinal_);
  return *gpu_;
}

}  // namespace kiln::worker
