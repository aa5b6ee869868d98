#include "tests/cuda/kernel_pick.h"

#include <doctest/doctest.h>

#include "tests/cuda/device_kernel.h"
#include "tests/cuda/graphs.h"

using namespace kiln;
using testing::KernelPick;

TEST_CASE("kernels are picked by words of their graph or of their template") {
  const std::string graph = "softmax of long rows", name = "row/persistent";
  CHECK(KernelPick("", "").takes(graph, name));
  CHECK(KernelPick("softmax", "").takes(graph, name));
  CHECK(KernelPick("persist", "").takes(graph, name));
  CHECK(KernelPick("row/persistent", "").takes(graph, name));
  CHECK_FALSE(KernelPick("row/persistent", "").takes(graph, "row/device"));
  CHECK(KernelPick("softmax", "persistent").takes(graph, name));
  CHECK_FALSE(KernelPick("softmax", "persistent").takes(graph, "row/device"));
  CHECK_FALSE(KernelPick("max pool", "").takes(graph, name));
}

TEST_CASE("who picks nothing is told every name that can be picked") {
  std::vector<std::string> graphs, templates;
  for (const testing::NamedGraph& graph : testing::device_graphs()) graphs.push_back(graph.name);
  for (const store::TemplateSpec& spec : testing::device_templates())
    templates.push_back(spec.family + "/" + spec.name);
  const std::string said = KernelPick("nonsense", "row").choices(graphs, templates);
  CHECK(said.find("'nonsense'") != std::string::npos);
  CHECK(said.find("'row'") != std::string::npos);
  CHECK(said.find("\n  row/persistent\n") != std::string::npos);
  for (const std::string& name : graphs) CHECK(said.find("\n  " + name + "\n") != std::string::npos);
}
