#include "tests/bench/mutations/batch.h"

#include <algorithm>
#include <set>

#include "tests/bench/mutations/operators.h"

namespace kiln::mutation {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::string with_symbol(std::string source, const std::string& from, const std::string& to) {
  for (std::size_t at = source.find(from); at != std::string::npos; at = source.find(from, at + to.size()))
    source.replace(at, from.size(), to);
  return source;
}

struct Unit {
  std::string text;
  std::vector<std::int64_t> last_line;  // per member
};

std::int64_t lines_of(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

// The symbol of the run launch is a prefix of the pack launch's.
std::string symbol_of(const agents::RenderedKernel& kernel) { return kernel.run.back().symbol; }

std::string own_symbol(const agents::RenderedKernel& kernel, std::size_t i) {
  return symbol_of(kernel) + "_" + std::to_string(i);
}

Unit unit_of(const std::vector<const agents::RenderedKernel*>& members) {
  std::set<std::string> includes;
  std::string bodies;
  std::vector<std::int64_t> lines;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::string source =
        with_symbol(members[i]->source, symbol_of(*members[i]), own_symbol(*members[i], i));
    bodies += "namespace member_" + std::to_string(i) + " {\n";
    for (std::size_t at = 0; at < source.size();) {
      const std::size_t end = std::min(source.find('\n', at), source.size());
      const std::string line = source.substr(at, end - at);
      if (line.rfind("#include", 0) == 0)
        includes.insert(line);
      else
        bodies += line + "\n";
      at = end + 1;
    }
    bodies += "}\n#undef KILN_KERNEL\n#undef KILN_PACK\n";
    lines.push_back(lines_of(bodies));
  }
  Unit unit;
  for (const std::string& include : includes) unit.text += include + "\n";
  unit.text += support_source();
  const std::int64_t head = lines_of(unit.text);
  unit.text += bodies;
  for (const std::int64_t line : lines) unit.last_line.push_back(head + line);
  return unit;
}

bool is_error(const agents::Diagnostic& d) { return d.severity.find("error") != std::string::npos; }

}  // namespace

std::string unit_source(const std::vector<agents::RenderedKernel>& members) {
  std::vector<const agents::RenderedKernel*> pointers;
  for (const agents::RenderedKernel& member : members) pointers.push_back(&member);
  return unit_of(pointers).text;
}

void build_batch(agents::Workbench& bench, std::vector<Member*> members) {
  while (!members.empty()) {
    std::vector<const agents::RenderedKernel*> kernels;
    for (const Member* member : members) kernels.push_back(&member->kernel);
    const Unit unit = unit_of(kernels);
    agents::BuildRequest request;
    request.kernel = members.front()->kernel;
    request.kernel.source = unit.text;
    request.timeout_ns = (30 + 20 * static_cast<std::int64_t>(members.size())) * kSecond;
    const agents::BuildFact fact = bench.build({&request, 1}).front();
    if (fact.verdict == agents::Verdict::ok) {
      for (std::size_t i = 0; i < members.size(); ++i) {
        agents::RenderedKernel& kernel = members[i]->kernel;
        members[i]->object = fact.object;
        const std::string from = symbol_of(kernel), to = own_symbol(kernel, i);
        for (auto* launches : {&kernel.prepare, &kernel.run})
          for (agents::RenderedLaunch& launch : *launches) launch.symbol = with_symbol(launch.symbol, from, to);
      }
      return;
    }
    std::set<std::size_t> refused;
    for (const agents::Diagnostic& d : fact.diagnostics) {
      if (!is_error(d)) continue;
      const auto at = std::lower_bound(unit.last_line.begin(), unit.last_line.end(), d.line) - unit.last_line.begin();
      if (d.line == 0 || at >= static_cast<std::ptrdiff_t>(members.size())) continue;
      if (refused.insert(static_cast<std::size_t>(at)).second)
        members[static_cast<std::size_t>(at)]->refusal = d.message;
    }
    if (refused.empty() && members.size() > 1) {
      for (Member* member : members) build_batch(bench, {member});
      return;
    }
    if (refused.empty()) refused.insert(0);
    std::vector<Member*> left;
    for (std::size_t i = 0; i < members.size(); ++i) {
      members[i]->builds = refused.count(i) == 0;
      if (members[i]->builds) left.push_back(members[i]);
    }
    members = std::move(left);
  }
}

}  // namespace kiln::mutation
