// Builds that find what an earlier bench built, and those that must not.
#include <doctest/doctest.h>

#include "daemon/worker/build_recipe.h"
#include "runtime/base/error.h"
#include "tests/worker/bench.h"

using namespace kiln;
using namespace kiln::test;

TEST_CASE("a kernel that was built before comes from the cache, and is checked like a new one") {
  Bench b;
  b.objects.remembers = true;
  const BuildFact first = b.build("for (int i = 0; i < 1000; ++i) y[i] = 2 * x[i];");
  REQUIRE(first.verdict == Verdict::ok);
  CHECK(first.origin.empty());
  CHECK(first.recipe.size() == 64);
  CHECK(b.objects.known.size() == 1);

  const BuildFact again = b.build("for (int i = 0; i < 1000; ++i) y[i] = 2 * x[i];");
  CHECK(again.origin == "cache");
  CHECK(again.recipe == first.recipe);
  CHECK(again.object == first.object);
  CHECK(again.object_bytes == first.object_bytes);
  CHECK(again.build_ns == 0);
  CHECK(b.check_built(again).verdict == Verdict::ok);

  const BuildFact wrong = b.build("for (int i = 0; i < 1000; ++i) y[i] = 3 * x[i];");
  CHECK(wrong.origin.empty());
  CHECK(wrong.recipe != first.recipe);
  const CheckFact judged = b.check_built(b.build("for (int i = 0; i < 1000; ++i) y[i] = 3 * x[i];"));
  CHECK(judged.errors.at(0).normwise > 0.1);  // that it came from the cache excuses nothing
}

TEST_CASE("what did not compile is built again") {
  Bench b;
  b.objects.remembers = true;
  CHECK(b.build("this is no C++").verdict == Verdict::build_failed);
  CHECK(b.objects.known.empty());
  CHECK(b.build("this is no C++").origin.empty());
}

TEST_CASE("an entry for another architecture, of a failed build or of other bytes is as if it were not there") {
  Bench b;
  b.objects.remembers = true;
  const std::string body = "for (int i = 0; i < 1000; ++i) y[i] = 2 * x[i];";
  const BuildFact built = b.build(body);
  const worker::KnownObject good = b.objects.known.at(built.recipe);
  CHECK(worker::architecture_of(good.about).empty());
  BuildFact failed = built;
  failed.verdict = Verdict::build_failed;
  for (const worker::KnownObject& bad :
       {worker::KnownObject{"", good.object}, worker::KnownObject{"{}", good.object},
        worker::KnownObject{"[1]", good.object}, worker::known_object("sm_90a", built, good.object),
        worker::known_object("", failed, good.object)}) {
    b.objects.known[built.recipe] = bad;
    CHECK(b.build(body).origin.empty());
    CHECK(b.objects.known.at(built.recipe).object == good.object);  // mended
    CHECK(b.build(body).origin == "cache");
  }
}

TEST_CASE("all that decides what a compiler makes decides the recipe") {
  BuildRequest request;
  request.kernel = {.variant = {}, .file_name = "kernel.cu", .source = "a", .compile_flags = {"-O3"},
                    .libraries = {}, .prepared_bytes = {}, .temporary_bytes = {}, .prepare = {}, .run = {},
                    .cpu_features = {}, .architecture = "sm_90a"};
  const std::string recipe = worker::recipe_of(request, false, "NVRTC 13.0");
  CHECK(worker::recipe_of(request, false, "NVRTC 13.0") == recipe);
  CHECK(worker::recipe_of(request, true, "NVRTC 13.0") != recipe);
  CHECK(worker::recipe_of(request, false, "NVRTC 12.9") != recipe);
  BuildRequest slow = request;
  slow.timeout_ns *= 2;
  CHECK(worker::recipe_of(slow, false, "NVRTC 13.0") == recipe);
  for (auto change : std::vector<void (*)(RenderedKernel&)>{
           [](RenderedKernel& k) { k.source += " "; }, [](RenderedKernel& k) { k.file_name = "other.cu"; },
           [](RenderedKernel& k) { k.compile_flags.push_back("-g"); },
           [](RenderedKernel& k) { k.libraries.push_back("dnnl"); },
           [](RenderedKernel& k) { k.architecture = "sm_100"; }}) {
    BuildRequest other = request;
    change(other.kernel);
    CHECK(worker::recipe_of(other, false, "NVRTC 13.0") != recipe);
  }
}
