// What became of each mutant and right variant: one line of JSON each, so that a campaign runs in pieces.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace kiln::mutation {

enum class Outcome {
  not_built,     // the compiler refused it
  same_code,     // the same machine code as the original: proven to be no other function
  equal,         // the same bits as the original on every input of the wider look; not proven
  within_class,  // other bits, but as near to the oracle as the precision class asks, on every input
  special_only,  // other bits only where inputs are infinite, not numbers or near the ends of the type
  caught,        // by a check that every candidate passes
  survived,      // passed them all and is wrong on inputs that they did not draw
  right,         // a right variant that passed
  refused,       // a right variant that did not
};
[[nodiscard]] const char* name(Outcome outcome);
[[nodiscard]] inline bool is_wrong(Outcome o) { return o == Outcome::caught || o == Outcome::survived; }
[[nodiscard]] inline bool is_of_right_variant(Outcome o) {
  return o == Outcome::right || o == Outcome::refused;
}

struct Trial {
  std::string key;         // SHA-256 of the workload and the source
  std::string family;      // of workloads
  std::string subject;     // template and workload
  std::string operation;   // of the mutation; "right variant"
  std::string difference;  // to the original
  Outcome outcome = Outcome::not_built;
  std::string verdict, reason;
};

class Records {
 public:
  // Reads what an earlier piece left in the file, and appends to it; an empty path keeps them in memory only.
  // A line that was cut by a kill is dropped. Throws Error(io | corrupt).
  explicit Records(const std::filesystem::path& file);

  void add(Trial trial);
  [[nodiscard]] bool contains(const std::string& key) const { return at_.count(key) != 0; }
  [[nodiscard]] const std::vector<Trial>& all() const { return trials_; }

 private:
  std::vector<Trial> trials_;
  std::map<std::string, std::size_t> at_;
  std::ofstream out_;
};

}  // namespace kiln::mutation
