// Every template for the CPU computes a golden case of its family: what the gate of the corpus asks of a site's.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>
#include <set>

#include "agents/conductor/golden.h"
#include "agents/region/region.h"
#include "agents/search/search.h"
#include "agents/writer/writer.h"
#include "store/corpus/corpus.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

// One that has all that any template needs.
NodeFacts full_node() {
  NodeFacts node;
  node.features = {"avx2", "fma", "avx512f", "amx_tile", "amx_bf16", "amx_int8", "avx512_bf16",
                   "avx512_vnni"};
  node.cores = 2;
  node.l1d_bytes = 48 << 10;
  node.l2_bytes = 2 << 20;
  node.l3_bytes = 32 << 20;
  return node;
}

bool computes(const store::TemplateSpec& spec, const store::GoldenCase& c, const NodeFacts& node) {
  const graph::Graph g = golden_graph(c);
  std::vector<std::int32_t> nodes(g.nodes.size());
  std::iota(nodes.begin(), nodes.end(), 0);
  const Region region = cut_region(g, nodes).region;
  const std::optional<Kernel> kernel = lower(region);
  return kernel && accepts(spec, *kernel) &&
         !enumerate(spec, region, *kernel, figures_of(*kernel, node, node.cores), node).rows.empty();
}

}  // namespace

TEST_CASE("every template for the CPU computes a golden case of its family") {
  const test::TemporaryFolder folder;
  const std::filesystem::path root = std::filesystem::path(KILN_SOURCE_DIR) / "store", db = folder.path / "corpus.db";
  store::build_corpus(root / "corpus/templates", root / "golden", db);
  const store::Corpus corpus = store::open_corpus(db);
  const NodeFacts node = full_node();
  int held = 0;
  for (const store::TemplateSpec& spec : corpus.templates) {
    CHECK_MESSAGE(spec.family == spec.anchor, spec.family << "/" << spec.name);
    if (spec.target != "cpu") continue;  // golden sets run on the CPU: tests/cuda and tests/simt hold the others
    const bool covered = std::any_of(corpus.golden.begin(), corpus.golden.end(), [&](const store::GoldenCase& c) {
      return c.family == spec.family && computes(spec, c, node);
    });
    CHECK_MESSAGE(covered, spec.family << "/" << spec.name << " computes no golden case of its family");
    held += covered ? 1 : 0;
  }
  CHECK(held >= 15);
}
