#include "tests/cuda/kernel_pick.h"

namespace kiln::testing {

bool KernelPick::takes(const std::string& graph, const std::string& template_name) const {
  const auto is_in = [](const std::string& part, const std::string& name) {
    return name.find(part) != std::string::npos;
  };
  return (is_in(words_, graph) || is_in(words_, template_name)) && is_in(of_template_, template_name);
}

std::string KernelPick::choices(const std::vector<std::string>& graphs,
                                const std::vector<std::string>& templates) const {
  std::string out = "no kernel of '" + words_ + "'";
  if (!of_template_.empty()) out += " by a template '" + of_template_ + "'";
  out += "; the templates are\n";
  for (const std::string& name : templates) out += "  " + name + "\n";
  out += "and the graphs\n";
  for (const std::string& name : graphs) out += "  " + name + "\n";
  return out;
}

}  // namespace kiln::testing
