// NVRTC's log: diagnostics of the front end, and what ptxas says of each kernel.
#include <algorithm>
#include <charconv>
#include <optional>

#include "daemon/targets/cuda/compile.h"

namespace kiln::targets::cuda {
namespace {

constexpr std::size_t kMostDiagnostics = 64;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

// The number that stands before `words`: "168" before " registers".
std::optional<std::int64_t> number_before(std::string_view line, std::string_view words) {
  const std::size_t end = line.find(words);
  if (end == std::string_view::npos) return std::nullopt;
  std::size_t begin = end;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') --begin;
  std::int64_t value = 0;
  const auto [last, error] = std::from_chars(line.data() + begin, line.data() + end, value);
  if (error != std::errc{} || last != line.data() + end) return std::nullopt;
  return value;
}

// The name between quotes after `words`.
std::optional<std::string> quoted_after(std::string_view line, std::string_view words) {
  const std::size_t at = line.find(words);
  if (at == std::string_view::npos) return std::nullopt;
  const std::size_t begin = line.find('\'', at);
  const std::size_t end = begin == std::string_view::npos ? begin : line.find('\'', begin + 1);
  if (end == std::string_view::npos) return std::nullopt;
  return std::string(line.substr(begin + 1, end - begin - 1));
}

}  // namespace

std::vector<CompileDiagnostic> parse_diagnostics(std::string_view log) {
  std::vector<CompileDiagnostic> out;
  for (const std::string_view line : lines_of(log)) {
    if (out.size() == kMostDiagnostics) break;
    // "kernel.cu(12): error: text" of the front end, "ptxas fatal   : text" of the assembler.
    for (const std::string_view severity : {"error", "warning"}) {
      const std::size_t mark = line.find("): " + std::string(severity));
      const std::size_t open = line.find('(');
      if (mark == std::string_view::npos || open == std::string_view::npos || open > mark) continue;
      CompileDiagnostic d{std::string(line.substr(0, open)), 0, std::string(severity), {}};
      (void)std::from_chars(line.data() + open + 1, line.data() + mark,
                            d.line);  // ignoring: without a number it is line 0
      const std::size_t colon = line.find(": ", mark + 3);
      d.message = colon == std::string_view::npos ? std::string(line) : std::string(line.substr(colon + 2));
      out.push_back(std::move(d));
      break;
    }
    for (const std::string_view word : {"ptxas fatal", "ptxas error"})
      if (line.starts_with(word)) out.push_back({"ptxas", 0, "error", std::string(line.substr(word.size()))});
  }
  return out;
}

std::vector<KernelResources> parse_resources(std::string_view log) {
  std::vector<KernelResources> out;
  for (const std::string_view line : lines_of(log)) {
    if (const auto symbol = quoted_after(line, "Compiling entry function")) out.push_back({*symbol, 0, 0, 0, 0, 0});
    if (out.empty()) continue;
    KernelResources& kernel = out.back();
    if (const auto stack = number_before(line, " bytes stack frame")) kernel.stack_bytes = *stack;
    if (const auto stores = number_before(line, " bytes spill stores")) kernel.spill_store_bytes = *stores;
    if (const auto loads = number_before(line, " bytes spill loads")) kernel.spill_load_bytes = *loads;
    if (const auto registers = number_before(line, " registers"))
      kernel.registers = static_cast<std::int32_t>(*registers);
    if (const auto shared = number_before(line, " bytes smem")) kernel.static_shared_bytes = *shared;
  }
  return out;
}

}  // namespace kiln::targets::cuda
