#include "agents/writer/constructs.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <string_view>

#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool begins(std::string_view text, std::string_view with) { return text.substr(0, with.size()) == with; }

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// The source with a space for every character of a comment, so that lines stay where they are. All of it where there
// are raw strings, in which a quote does not end what it seems to.
std::string without_comments(std::string text) {
  if (has(text, "R\"")) return text;
  enum class In { code, line, block, quotes } in = In::code;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (in == In::quotes) {
      if (text[i] == '\\') ++i;
      else if (text[i] == '"' || text[i] == '\n') in = In::code;
      continue;
    }
    if (in == In::code && text[i] == '"') in = In::quotes;
    else if (in == In::code && text[i] == '/' && next == '/') in = In::line;
    else if (in == In::code && text[i] == '/' && next == '*') in = In::block;
    if (in == In::line && text[i] == '\n') in = In::code;
    if (in == In::block && text[i] == '*' && next == '/') {
      text[i] = text[i + 1] = ' ';
      in = In::code;
    }
    if ((in == In::line || in == In::block) && text[i] != '\n') text[i] = ' ';
  }
  return text;
}

using Words = std::function<bool(std::string_view word)>;
using Lines = std::function<bool(std::string_view line)>;

// "line 41: ..." of the first line that `lines` takes or that has a word which `words` takes.
std::optional<std::string> place_of(const std::string& source, const Words& words, const Lines& lines) {
  const std::string text = without_comments(source);
  std::int64_t number = 1;
  for (std::size_t begin = 0; begin < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    bool found = lines(line);
    for (std::size_t i = 0; i < line.size() && !found;) {
      std::size_t last = i;
      while (last < line.size() && is_word(line[last])) ++last;
      found = last > i && words(line.substr(i, last - i));
      i = std::max(last, i + 1);
    }
    if (found) {
      const std::size_t first = std::min(line.find_first_not_of(' '), line.size());
      return "line " + std::to_string(number) + ": " + std::string(line.substr(first, 120));
    }
    begin = end + 1;
  }
  return std::nullopt;
}

bool no_line(std::string_view) { return false; }

// Intel Intrinsics Guide: what it names begins so.
bool is_intrinsic(std::string_view word) {
  return begins(word, "_mm") || begins(word, "_tile_") || begins(word, "__builtin_ia32_");
}

bool is_assembly(std::string_view word) { return word == "asm" || word == "__asm" || word == "__asm__"; }

// Stores that leave no copy in a cache: x86's, Clang's name for them, CUDA's __stcs and PTX's st.cs.
bool is_streaming_store(std::string_view word) {
  return (begins(word, "_mm") && has(word, "_stream_") && !has(word, "_stream_load")) ||
         begins(word, "_mm_maskmove") || word == "__builtin_nontemporal_store" || word == "__stcs" || word == "__stwt";
}
bool has_streaming_store(std::string_view line) { return has(line, "movnt") || has(line, "st.global.cs"); }

// Functions of fewer correct digits than their type has (CUDA C++ Programming Guide, intrinsic functions; the Intel
// Intrinsics Guide's approximate reciprocals).
bool is_fast_function(std::string_view word) {
  constexpr std::string_view of_cuda[] = {"__expf", "__exp10f", "__logf", "__log2f",  "__log10f",   "__sinf",
                                          "__cosf", "__tanf",   "__powf", "__tanhf", "__fdividef", "__sincosf"};
  return std::find(std::begin(of_cuda), std::end(of_cuda), word) != std::end(of_cuda) ||
         (begins(word, "_mm") && (has(word, "_rcp") || has(word, "_rsqrt")));
}
bool has_fast_mode(std::string_view line) {
  return has(line, ".approx") || has(line, "fast-math") || has(line, "Ofast");
}

// Flags that let the compiler change results beyond contraction to fused multiply-adds.
std::optional<std::string> fast_flag(const RenderedKernel& kernel) {
  for (const std::string& flag : kernel.compile_flags)
    for (const std::string_view fast :
         {"fast-math", "fast_math", "-Ofast", "unsafe-math", "finite-math", "associative-math"})
      if (has(flag, fast)) return "it is compiled with " + flag;
  return std::nullopt;
}

std::optional<std::string> needs(const RenderedKernel& kernel, std::string_view feature) {
  for (const std::string& has_feature : kernel.cpu_features)
    if (begins(has_feature, feature)) return "it is compiled for " + has_feature;
  return std::nullopt;
}

std::optional<std::string> found_in(const RenderedKernel& kernel, const std::string& construct) {
  if (construct == "inline-assembly") return place_of(kernel.source, is_assembly, no_line);
  if (construct == "intrinsics") return place_of(kernel.source, is_intrinsic, no_line);
  if (construct == "non-temporal-stores") return place_of(kernel.source, is_streaming_store, has_streaming_store);
  if (construct == "fast-math") {
    const std::optional<std::string> flag = fast_flag(kernel);
    return flag ? flag : place_of(kernel.source, is_fast_function, has_fast_mode);
  }
  if (construct == "avx2" || construct == "avx512" || construct == "amx") return needs(kernel, construct);
  if (construct == "vendor-libraries") {
    if (kernel.libraries.empty()) return std::nullopt;
    return "it links " + kernel.libraries.front();
  }
  throw Error(ErrorCode::internal, "cannot look for construct '" + construct + "': nobody knows what it is");
}

}  // namespace

std::optional<std::string> forbidden_construct(const RenderedKernel& kernel,
                                               const std::vector<std::string>& forbidden) {
  for (const std::string& construct : forbidden)
    if (const std::optional<std::string> place = found_in(kernel, construct)) return construct + ": " + *place;
  return std::nullopt;
}

}  // namespace kiln::agents
