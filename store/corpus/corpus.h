// The corpus: parameterised kernel templates. Text in git (store/corpus/templates), compiled into corpus.db at build
// time, opened read-only and immutable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace kiln::store {

struct Tunable {
  std::string name;
  std::vector<std::int64_t> values;  // ordered; the first is not special
  std::int64_t default_value = 0;
  std::string meaning;  // what it trades
};

// template.toml, validated. Expressions are over the region's figures (m, n, k, length, ...), the node's (l2_bytes,
// cores, vector_bytes, ...) and the tunables; they are evaluated by muParser (agents/search/expression.h).
struct TemplateSpec {
  std::string family;  // folder
  std::string name;    // folder
  std::string digest;  // SHA-256 over all files
  std::string target;  // "cpu", "cuda"
  std::string summary;
  std::string anchor;            // agents/region/kernel.h: "matmul"
  std::vector<std::string> dtypes;
  std::string source;                     // the file that holds the kernel: "kernel.cpp", "kernel.cu"
  std::vector<std::string> headers;       // shared headers that stand before it, in order; see header_folder
  std::vector<std::string> libraries;     // linked, for vendor templates: "dnnl"
  std::vector<std::string> cpu_features;  // any-of sets are written as separate `isa` tunable values
  std::string precision_class;   // "fp32"
  bool deterministic = true;
  bool vendor = false;           // a wrapped library, disclosed in the report
  std::vector<Tunable> tunables;
  std::vector<std::string> constraints;  // each must be nonzero
  std::map<std::string, std::string> geometry;   // "tasks", "scratch_bytes", "workspace_bytes": expression
  std::map<std::string, std::string> cost;       // what it takes, for the order in which is tried: expression
  std::map<std::string, std::string> files;      // name -> text: kernel.cpp, kernel.cu, hooks
  std::string stored{};  // blob that holds a template of the site (store/node_corpus.h); empty: Kiln brought it
};

// Where `files` has the shared headers: "device/" of a template in CUDA or HIP, "cpu/" of others.
[[nodiscard]] std::string header_folder(const TemplateSpec& spec);

// Throws Error(invalid_input) naming file, line and cause. Of the shared headers in `files` only those that the
// template names are kept and are part of its digest.
[[nodiscard]] TemplateSpec parse_template(const std::string& family, const std::string& name,
                                          const std::map<std::string, std::string>& files);

// The files of one template below `templates`: its folder's, and the shared headers (templates/device for CUDA and HIP,
// templates/cpu for others) as "device/NAME" or "cpu/NAME", so that its digest covers all that its kernels are made of.
[[nodiscard]] std::map<std::string, std::string> template_files(const std::filesystem::path& templates,
                                                                const std::string& family, const std::string& name);

// One small case with a result that somebody else computed: exact integers, or a published value. Values are row-major.
struct GoldenCase {
  std::string family;  // file: store/golden/<family>.toml
  std::string name;
  std::string origin;  // who computed it
  std::string
      graph;  // what is computed, as docs/graph-format.md has it; its inputs and outputs are named as the tensors
  std::map<std::string, std::vector<std::int64_t>> shapes;  // by tensor name
  std::map<std::string, std::vector<double>> values;
  std::vector<std::string> weights{};  // inputs of the graph that are constants with these values: packed once
  double tolerance = 0;  // absolute; 0 is exact
};
// Throws Error(invalid_input) naming file, line and cause.
[[nodiscard]] std::vector<GoldenCase> parse_golden(const std::string& family, const std::string& text);

struct Corpus {
  std::string digest;  // over all templates and golden sets
  std::vector<TemplateSpec> templates;
  std::vector<GoldenCase> golden;
  [[nodiscard]] const TemplateSpec* find(const std::string& family, const std::string& name) const;
};
// What build_corpus() made. Throws Error(not_found | corrupt).
[[nodiscard]] Corpus open_corpus(const std::filesystem::path& corpus_db);

// Compiles a folder of templates and one of golden sets into a corpus database; what kiln-corpus (the build tool)
// calls.
void build_corpus(const std::filesystem::path& templates, const std::filesystem::path& golden,
                  const std::filesystem::path& corpus_db);

}  // namespace kiln::store
