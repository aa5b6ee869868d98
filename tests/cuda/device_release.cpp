// libkiln with a plan for a GPU, over the driver of tests/simt: y = 2 (x + c) in two launches over a temporary, with
// c prepared from a constant.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "runtime/cuda/driver.h"
#include "runtime/kiln.h"
#include "tests/runtime/release_folder.h"
#include "tests/temporary_folder.h"

using namespace kiln;

namespace {

constexpr int kCount = 96;

// Written as the templates are, but for the device headers.
const std::string kSource = R"(
#include <cstddef>
using u32 = unsigned; using u64 = unsigned long long; using u16 = unsigned short; using f32 = float;
struct f16 { u16 bits; }; struct bf16 { u16 bits; };
struct alignas(16) Words4 { u32 at[4]; }; struct alignas(8) Words2 { u32 at[2]; };
namespace negate_kernel { struct Arguments { void* at[2]; };
#include KILN_EMULATION
KILN_ENTRY(negate) {
  const u32 i = thread_index();
  static_cast<float*>(arguments.at[1])[i] = -static_cast<const float*>(arguments.at[0])[i];
}
}
using namespace negate_kernel;
namespace add_kernel { struct Arguments { void* at[3]; };
KILN_ENTRY(add) {
  const u32 i = block_index() * 32 + thread_index();
  const float* x = static_cast<const float*>(arguments.at[0]);
  static_cast<float*>(arguments.at[2])[i] = x[i] + static_cast<const float*>(arguments.at[1])[i];
} }
namespace twice_kernel { struct Arguments { void* at[2]; };
KILN_ENTRY(twice) {
  float* shared = static_cast<float*>(shared_memory());
  const u32 i = block_index() * 32 + thread_index();
  shared[thread_index()] = static_cast<const float*>(arguments.at[0])[i];
  block_barrier();
  static_cast<float*>(arguments.at[1])[i] = shared[thread_index()] + shared[thread_index()];
} }
)";

std::string plan(const std::string& object, const std::string& constants, const std::string& architecture) {
  return R"({"format":"kiln-plan/1","name":"example","target":"cuda","architecture":")" + architecture +
         R"(","cpu_features":[],"threads":1,"inputs":[{"name":"x","dtype":"f32","shape":[96],"buffer":0}],)"
         R"("outputs":[{"name":"y","dtype":"f32","shape":[96],"buffer":1}],)"
         R"("buffers":[{"kind":"input","bytes":384,"offset":0,"index":0},{"kind":"output","bytes":384,)"
         R"("offset":0,"index":0},)"
         R"({"kind":"constant","bytes":384,"offset":0,"index":0},{"kind":"prepared","bytes":384,)"
         R"("offset":64,"index":0},)"
         R"({"kind":"temporary","bytes":384,"offset":128,"index":0}],"objects":[")" +
         object + R"("],"constants":")" + constants +
         R"(","constants_bytes":384,"prepared_bytes":448,"temporary_bytes":512,)"
         R"("prepare":[{"object":0,"symbol":"negate","args":[2,3],"tasks":1,"scratch_bytes":0,)"
         R"("has_state":false,"instance":-1,)"
         R"("label":"negate","grid":{"block_threads":96,"shared_bytes":0,"cluster":1}}],)"
         R"("run":[{"object":0,"symbol":"add","args":[0,3,4],"tasks":3,"scratch_bytes":0,"has_state":false,)"
         R"("instance":0,"label":"add",)"
         R"("grid":{"block_threads":32,"shared_bytes":0,"cluster":1}},{"object":0,"symbol":"twice",)"
         R"("args":[4,1],"tasks":3,)"
         R"("scratch_bytes":0,"has_state":false,"instance":1,"label":"twice","grid":{"block_threads":32,)"
         R"("shared_bytes":128,"cluster":1}}]})";
}

std::string compiled_kernels() {
  const test::TemporaryFolder scratch;
  const std::string folder = scratch.path.string();
  const std::string root = KILN_SOURCE_DIR;
  scratch.put("k.cpp", kSource);
  const std::string command = "c++ -std=c++20 -O1 -w -fPIC -shared -include " + root +
                              "/tests/simt/before.h -DKILN_EMULATION='\"" + root + "/tests/simt/simt.h\"' -o " +
                              folder + "/k.so " + folder + "/k.cpp";
  if (std::system(command.c_str()) != 0) throw std::runtime_error("cannot compile the test's kernels");
  return read_file(folder + "/k.so");
}

// `changes`: in the plan's text, what stands there for what is to.
using Changes = std::vector<std::pair<std::string, std::string>>;
void make_release(test::ReleaseFolder& folder, const std::string& architecture, const Changes& changes = {}) {
  static const std::string object = compiled_kernels();
  const std::string digest = sha256_hex(object);
  (void)folder.put("objects/" + digest + ".cubin", object);
  std::vector<float> c(kCount);
  for (int i = 0; i < kCount; ++i) c[static_cast<std::size_t>(i)] = static_cast<float>(-i);
  const std::string constants =
      folder.put("constants.bin", {reinterpret_cast<const char*>(c.data()), sizeof(float) * c.size()});
  std::string text = plan(digest, constants, architecture);
  for (const auto& [from, to] : changes) text.replace(text.find(from), from.size(), to);
  folder.finish(text);
}

// Memory of the "device".
struct Buffer {
  explicit Buffer(const cuda::DriverApi& api) : api_(api) {
    REQUIRE(api.cuMemAlloc_v2(&address, sizeof(float) * kCount + 16) == 0);
  }
  ~Buffer() { (void)api_.cuMemFree_v2(address); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  [[nodiscard]] void* pointer() const { return reinterpret_cast<void*>(address); }
  [[nodiscard]] std::vector<float> values() const {
    std::vector<float> out(kCount);
    REQUIRE(api_.cuMemcpyDtoH_v2(out.data(), address, sizeof(float) * kCount) == 0);
    return out;
  }
  void fill(float first) const {
    std::vector<float> x(kCount);
    for (int i = 0; i < kCount; ++i) x[static_cast<std::size_t>(i)] = first + static_cast<float>(i % 7);
    REQUIRE(api_.cuMemcpyHtoD_v2(address, x.data(), sizeof(float) * kCount) == 0);
  }
  cuda::DevicePointer address = 0;

 private:
  const cuda::DriverApi& api_;
};

void check_answer(const Buffer& y, float first) {
  const std::vector<float> got = y.values();
  for (int i = 0; i < kCount; ++i)
    CHECK(got[static_cast<std::size_t>(i)] == 2 * (first + static_cast<float>(i % 7) + static_cast<float>(i)));
}

struct World {
  World() : api(cuda::load_driver()) {
    cuda::Context context = nullptr;
    REQUIRE(api.cuDevicePrimaryCtxRetain(&context, 0) == 0);
    REQUIRE(api.cuCtxSetCurrent(context) == 0);
    REQUIRE(api.cuStreamCreate(&stream, 0) == 0);
  }
  ~World() {
    (void)api.cuStreamDestroy_v2(stream);
    (void)api.cuCtxSetCurrent(nullptr);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  const cuda::DriverApi api;
  cuda::Stream stream = nullptr;
};

// A release and a session of it.
struct Opened {
  explicit Opened(const test::ReleaseFolder& folder, const kiln_options* options = nullptr) {
    REQUIRE_MESSAGE(kiln_open(folder.path().c_str(), options, &release) == KILN_OK, kiln_last_error());
    REQUIRE_MESSAGE(kiln_session_create(release, &session) == KILN_OK, kiln_last_error());
  }
  ~Opened() {
    kiln_session_destroy(session);
    kiln_close(release);
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  void enqueue(const World& world, const Buffer& x, const Buffer& y) const {
    const void* inputs[] = {x.pointer()};
    void* outputs[] = {y.pointer()};
    REQUIRE_MESSAGE(kiln_enqueue(session, inputs, outputs, world.stream) == KILN_OK, kiln_last_error());
  }
  kiln_release* release = nullptr;
  kiln_session* session = nullptr;
};

}  // namespace

TEST_CASE("a plan for a GPU runs on the caller's stream, and its weights are prepared once") {
  World world;
  test::ReleaseFolder folder;
  make_release(folder, "sm_90a");
  const Opened o(folder);
  CHECK(std::string(kiln_target(o.release)) == "cuda");
  const Buffer x(world.api), y(world.api);
  x.fill(1);
  const void* inputs[] = {x.pointer()};
  void* outputs[] = {y.pointer()};
  CHECK(kiln_run(o.session, inputs, outputs) == KILN_E_ARGUMENT);
  o.enqueue(world, x, y);
  check_answer(y, 1);

  const void* misaligned[] = {static_cast<const char*>(x.pointer()) + 4};
  CHECK(kiln_enqueue(o.session, misaligned, outputs, world.stream) == KILN_E_ARGUMENT);
}

TEST_CASE("a call allocates nothing, so that a graph records it and runs it again over new values") {
  World world;
  test::ReleaseFolder folder;
  make_release(folder, "sm_90");
  const Opened o(folder);
  const Buffer x(world.api), y(world.api);
  cuda::Graph graph = nullptr;
  cuda::GraphExec exec = nullptr;
  REQUIRE(world.api.cuStreamBeginCapture_v2(world.stream, cuda::kCaptureThreadLocal) == 0);
  o.enqueue(world, x, y);
  REQUIRE(world.api.cuStreamEndCapture(world.stream, &graph) == 0);
  REQUIRE(world.api.cuGraphInstantiateWithFlags(&exec, graph, 0) == 0);
  for (const float first : {3.0f, -5.0f}) {
    x.fill(first);
    REQUIRE(world.api.cuGraphLaunch(exec, world.stream) == 0);
    REQUIRE(world.api.cuStreamSynchronize(world.stream) == 0);
    check_answer(y, first);
  }
  (void)world.api.cuGraphExecDestroy(exec);
  (void)world.api.cuGraphDestroy(graph);
}

TEST_CASE("a release for another GPU is refused so that the caller falls back") {
  World world;
  for (const char* architecture : {"sm_80", "sm_100", "sm_91"}) {
    test::ReleaseFolder folder;
    make_release(folder, architecture);
    kiln_release* release = nullptr;
    CHECK(kiln_open(folder.path().c_str(), nullptr, &release) == KILN_E_TARGET);
    CHECK(release == nullptr);
    CHECK(std::string(kiln_last_error()).find("this GPU has 9.0") != std::string::npos);
  }
}

TEST_CASE("a launch whose blocks are to run at the same time is refused where the GPU does not hold them") {
  World world;
  const std::pair<std::string, std::string> cooperative = {R"("shared_bytes":128,"cluster":1)",
                                                           R"("shared_bytes":128,"cluster":1,"cooperative":true)"};
  test::ReleaseFolder fits, exceeds, clusters;
  make_release(fits, "sm_90", {cooperative});
  const Buffer x(world.api), y(world.api);
  x.fill(2);
  const Opened o(fits);
  o.enqueue(world, x, y);
  check_answer(y, 2);

  kiln_release* release = nullptr;
  // The fake GPU has 4 multiprocessors of 2048 threads: 256 blocks of 32.
  make_release(exceeds, "sm_90", {cooperative, {R"("args":[4,1],"tasks":3)", R"("args":[4,1],"tasks":257)"}});
  CHECK(kiln_open(exceeds.path().c_str(), nullptr, &release) == KILN_E_TARGET);
  CHECK(std::string(kiln_last_error()).find("needs 257 blocks at the same time, this GPU holds 256") !=
        std::string::npos);
  make_release(clusters, "sm_90",
               {{R"("shared_bytes":128,"cluster":1)", R"("shared_bytes":128,"cluster":3,"cooperative":true)"}});
  CHECK(kiln_open(clusters.path().c_str(), nullptr, &release) == KILN_E_FORMAT);
}

TEST_CASE("a launch that waits by itself is launched before the one ahead of it ends, where the driver can") {
  World world;
  void* const fake = ::dlopen("libcuda.so.1", RTLD_NOW);
  REQUIRE(fake);
  long& programmatic = *static_cast<long*>(::dlsym(fake, "kiln_fake_programmatic_launches"));
  int& driver_version = *static_cast<int*>(::dlsym(fake, "kiln_fake_driver_version"));
  const Changes second = {
      {R"("shared_bytes":128,"cluster":1)", R"("shared_bytes":128,"cluster":1,"programmatic":true)"}};
  const auto launched = [&](const Changes& changes) {
    test::ReleaseFolder folder;
    make_release(folder, "sm_90", changes);
    const Opened o(folder);
    const Buffer x(world.api), y(world.api);
    x.fill(2);
    const long before = programmatic;
    o.enqueue(world, x, y);
    check_answer(y, 2);
    return programmatic - before;
  };
  CHECK(launched({}) == 0);
  CHECK(launched(second) == 1);
  driver_version = 12020;  // takes none in a graph
  CHECK(launched(second) == 0);
  driver_version = 13000;
  ::dlclose(fake);
}

TEST_CASE("constants that the device has already are copied there") {
  World world;
  test::ReleaseFolder folder;
  make_release(folder, "sm_90");
  const Buffer constants(world.api), x(world.api), y(world.api);
  constants.fill(-5);  // in constants.bin they begin with 0; what they are negated is added to x
  kiln_options options = kiln_options_default();
  for (const bool given : {false, true}) {
    options.device_constants = given ? constants.pointer() : nullptr;
    x.fill(2);
    const Opened o(folder, &options);
    o.enqueue(world, x, y);
    CHECK(y.values().at(0) == (given ? 14 : 4));
  }
}

TEST_CASE("constants of another size than the plan's are refused, wherever their bytes come from") {
  World world;
  test::ReleaseFolder folder;
  make_release(folder, "sm_90", {{R"("constants_bytes":384)", R"("constants_bytes":512)"}});
  const Buffer constants(world.api);
  kiln_options options = kiln_options_default();
  for (const bool given : {false, true}) {
    options.device_constants = given ? constants.pointer() : nullptr;
    kiln_release* release = nullptr;
    CHECK(kiln_open(folder.path().c_str(), &options, &release) == KILN_E_FORMAT);
    CHECK(std::string(kiln_last_error()).find("constants.bin has another size") != std::string::npos);
  }
}

TEST_CASE("a cooperative launch does not wait by itself") {
  World world;
  test::ReleaseFolder folder;
  make_release(folder, "sm_90",
               {{R"("shared_bytes":128,"cluster":1)",
                 R"("shared_bytes":128,"cluster":1,"cooperative":true,"programmatic":true)"}});
  kiln_release* release = nullptr;
  CHECK(kiln_open(folder.path().c_str(), nullptr, &release) == KILN_E_FORMAT);
}

TEST_CASE("a code object that is no cubin is refused, and one without the plan's symbol") {
  World world;
  for (const bool elf : {false, true}) {
    test::ReleaseFolder folder;
    const std::string object = elf ? compiled_kernels() : std::string(4096, 'x');
    const std::string digest = sha256_hex(object);
    (void)folder.put("objects/" + digest + ".cubin", object);
    const std::string constants = folder.put("constants.bin", std::string(sizeof(float) * kCount, '\0'));
    std::string text = plan(digest, constants, "sm_90");
    text.replace(text.find("\"twice\""), 7, "\"absent\"");
    folder.finish(text);
    kiln_release* release = nullptr;
    CHECK(kiln_open(folder.path().c_str(), nullptr, &release) == (elf ? KILN_E_LOAD : KILN_E_TARGET));
  }
}

TEST_CASE("without a current context the first device's is taken, and given back to nobody's surprise") {
  World world;
  REQUIRE(world.api.cuCtxSetCurrent(nullptr) == 0);
  test::ReleaseFolder folder;
  make_release(folder, "sm_90");
  kiln_release* release = nullptr;
  REQUIRE_MESSAGE(kiln_open(folder.path().c_str(), nullptr, &release) == KILN_OK, kiln_last_error());
  cuda::Context current = nullptr;
  REQUIRE(world.api.cuCtxGetCurrent(&current) == 0);
  CHECK(current == nullptr);
  kiln_close(release);
}
