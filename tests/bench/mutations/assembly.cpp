#include "tests/bench/mutations/assembly.h"

#include <cstdlib>
#include <map>
#include <regex>
#include <sstream>

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "tests/temporary_folder.h"

namespace kiln::mutation {
namespace {

std::string assembly_of(const std::string& source, const std::vector<std::string>& flags,
                        const std::string& more) {
  const test::TemporaryFolder folder;
  folder.put("kernel.cpp", source);
  std::string command = "cd " + folder.path.string() + " && c++ -fPIC -I" KILN_SOURCE_DIR;
  for (const std::string& flag : flags) command += " " + flag;
  command += " " + more + " -S kernel.cpp -o kernel.s 2>log";
  if (std::system(command.c_str()) != 0)
    throw Error(ErrorCode::internal,
                "cannot compile a kernel to assembly: " + read_file(folder.path / "log"));
  return read_file(folder.path / "kernel.s");
}

// The text after each label that is not local to a function, without what does not become bytes.
std::map<std::string, std::string> blocks_of(const std::string& assembly) {
  static const std::regex label(R"(^([A-Za-z_.$][\w.$]*):)"), local(R"(^\.L[^C].*)"),
      no_bytes(
          R"(^\s*\.(globl|local|type|size|section|text|data|weak|hidden|set|ident|file|loc|cfi_\w+)\b.*)");
  std::map<std::string, std::string> out;
  std::string* block = nullptr;
  std::istringstream lines(assembly);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_search(line, match, label) && !std::regex_match(match[1].str(), local)) {
      block = &out[match[1]];
      continue;
    }
    if (block && !std::regex_match(line, no_bytes)) *block += line + "\n";
  }
  return out;
}

// Replaces each match of `pattern` by what `text` makes of it.
template <class Text>
std::string replaced(const std::string& s, const std::regex& pattern, Text text) {
  std::string out;
  auto at = s.cbegin();
  for (std::sregex_iterator i(s.begin(), s.end(), pattern), end; i != end; ++i) {
    out.append(at, (*i)[0].first);
    out += text((*i)[0].str());
    at = (*i)[0].second;
  }
  out.append(at, s.cend());
  return out;
}

// The code of each member: its functions and constants, with the names that tell members apart taken out,
// local labels numbered as they appear, and each constant's bytes in the place of its label.
std::vector<std::string> codes_of(const std::string& assembly, const std::string& symbol,
                                  std::size_t members) {
  static const std::regex constant(R"(\.LC\d+)"), label(R"(\.L[A-Z]*\d+)");
  // A mangled name says its length: digits of what follows are not the member's.
  const std::regex own("(?:8member_(\\d)|9member_(\\d\\d)|" + symbol + "_(\\d+))");
  const std::map<std::string, std::string> blocks = blocks_of(assembly);
  std::vector<std::string> out(members);
  for (const auto& [name, body] : blocks) {
    std::smatch match;
    if (!std::regex_search(name, match, own)) continue;
    const std::string with_constants = replaced(body, constant, [&](const std::string& c) {
      const auto found = blocks.find(c);
      return found == blocks.end() ? c : "{" + found->second + "}";
    });
    std::map<std::string, std::string> numbers;
    const std::string numbered = replaced(with_constants, label, [&](const std::string& l) {
      return numbers.try_emplace(l, "label" + std::to_string(numbers.size())).first->second;
    });
    const auto nameless = [&](const std::string& s) { return std::regex_replace(s, own, "member"); };
    const std::string number = match[1].str() + match[2].str() + match[3].str();
    out.at(std::stoul(number)) += nameless(name) + ":\n" + nameless(numbered);
  }
  return out;
}

}  // namespace

std::set<std::int64_t> lines_with_code(const agents::RenderedKernel& kernel) {
  static const std::regex loc(R"(^\s*\.loc 1 (\d+) )");
  std::set<std::int64_t> out;
  std::istringstream lines(assembly_of(kernel.source, kernel.compile_flags, "-g1 -O0"));
  for (std::string line; std::getline(lines, line);)
    if (std::smatch match; std::regex_search(line, match, loc)) out.insert(std::stoll(match[1]));
  return out;
}

std::vector<bool> have_code_of(const agents::RenderedKernel& original,
                               const std::vector<agents::RenderedKernel>& members) {
  std::vector<agents::RenderedKernel> all{original};
  all.insert(all.end(), members.begin(), members.end());
  // Folding of identical functions would leave one of them for all.
  const std::string assembly = assembly_of(unit_source(all), original.compile_flags, "-fno-ipa-icf -g0");
  const std::vector<std::string> codes = codes_of(assembly, original.run.back().symbol, all.size());
  if (codes.front().empty())
    throw Error(ErrorCode::internal, "cannot compare code: the original's has no name");
  std::vector<bool> out;
  for (std::size_t i = 1; i < codes.size(); ++i) out.push_back(codes[i] == codes.front());
  return out;
}

}  // namespace kiln::mutation
