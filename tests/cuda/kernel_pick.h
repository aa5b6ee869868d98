// Which of the kernels of a program that runs many, or very many, somebody asked for.
#pragma once

#include <string>
#include <vector>

namespace kiln::testing {

class KernelPick {
 public:
  // `words`: a part of a graph's name, or of a template's, "row/persistent"; `of_template`: of a template's too. Empty:
  // everything.
  KernelPick(std::string words, std::string of_template)
      : words_(std::move(words)), of_template_(std::move(of_template)) {}

  [[nodiscard]] bool takes(const std::string& graph, const std::string& template_name) const;
  // For people, when nothing was taken: what there is, a name a line, and what was asked for.
  [[nodiscard]] std::string choices(const std::vector<std::string>& graphs,
                                    const std::vector<std::string>& templates) const;

 private:
  std::string words_, of_template_;
};

}  // namespace kiln::testing
