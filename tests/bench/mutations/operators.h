// Mutations of rendered kernel source: the mistakes that writers of kernels make, each at one place of the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace kiln::mutation {

// source[begin, end) becomes `text`.
struct Mutation {
  std::string name;  // of its operator: "dropped tail", "reduced precision", ...
  std::size_t begin = 0, end = 0;
  std::string text;
};

// Every mutation of a kernel as the writer renders it, in order of operator and place. Comments, preprocessor lines and
// what stands before the region's figures are left alone. Relies on the layout of the corpus: blanks around binary
// operators, none before a template's arguments.
[[nodiscard]] std::vector<Mutation> mutations_of(const std::string& source);

// Of those, the ones whose place becomes code: `lines` have instructions (assembly.h). What is written outside of
// functions has none of its own and stays.
[[nodiscard]] std::vector<Mutation> with_code(const std::string& source, std::vector<Mutation> all,
                                              const std::set<std::int64_t>& lines);

[[nodiscard]] std::string mutated(const std::string& source, const Mutation& mutation);

// "line 120: - old line / + new line"
[[nodiscard]] std::string difference(const std::string& source, const Mutation& mutation);

// What mutated code calls: rounding to fewer bits, a register that nobody wrote, the first of several arguments.
[[nodiscard]] const char* support_source();

}  // namespace kiln::mutation
