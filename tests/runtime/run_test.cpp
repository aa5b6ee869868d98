// libkiln through its C interface: open, run, time, describe, and the ways to misuse it.
#include <doctest/doctest.h>

#include <numeric>
#include <thread>

#include "runtime/kiln.h"
#include "tests/runtime/example.h"

using namespace kiln;
using namespace kiln::test;

namespace {

struct Opened {
  kiln_release* release = nullptr;
  kiln_session* session = nullptr;
  explicit Opened(const ReleaseFolder& folder, int threads = 0) {
    kiln_options options = kiln_options_default();
    options.threads = threads;
    INFO(kiln_last_error());
    REQUIRE(kiln_open(folder.path().c_str(), &options, &release) == KILN_OK);
    REQUIRE(kiln_session_create(release, &session) == KILN_OK);
  }
  ~Opened() {
    kiln_session_destroy(session);
    kiln_close(release);
  }
};

std::vector<float> ramp() {
  std::vector<float> x(example_count);
  std::iota(x.begin(), x.end(), -50.0f);
  return x;
}

bool is_answer(const float* y, const std::vector<float>& x) {
  for (int i = 0; i < example_count; ++i)
    if (y[i] != example_answer(x[static_cast<std::size_t>(i)], i)) return false;
  return true;
}

void answers_on_any_number_of_threads(const ReleaseFolder& folder) {
  for (const int threads : {0, 1, 2, 3, 8}) {
    const Opened o(folder, threads);
    const std::vector<float> x = ramp();
    for (int call = 0; call < 50; ++call) {
      std::vector<float> y(example_count, -7.0f);
      const void* inputs[] = {x.data()};
      void* outputs[] = {y.data()};
      REQUIRE(kiln_run(o.session, inputs, outputs) == KILN_OK);
      REQUIRE(is_answer(y.data(), x));
    }
  }
}

}  // namespace

TEST_CASE("a plan with constants, prepare, temporaries, state and scratch gives its answer on any number of threads") {
  ReleaseFolder folder;
  make_example(folder);
  answers_on_any_number_of_threads(folder);
}

TEST_CASE("scratch lies where the plan has room for it, and elsewhere for more threads than it was tuned for") {
  ReleaseFolder folder;
  const std::string object = folder.put_object(example_source);
  const std::string constants = folder.put("constants.bin", example_constants());
  std::string plan = example_plan(object, constants);
  const auto change = [&plan](const std::string& from, const std::string& to) {
    REQUIRE(plan.find(from) != std::string::npos);
    plan.replace(plan.find(from), from.size(), to);
  };
  change("\"scratch_bytes\":40", "\"scratch_bytes\":40,\"scratch_offset\":576");  // behind the temporary's 400 bytes
  change("\"temporary_bytes\":528", "\"temporary_bytes\":704");
  folder.finish(plan);
  answers_on_any_number_of_threads(folder);
}

TEST_CASE("buffers of any alignment") {
  ReleaseFolder folder;
  make_example(folder);
  const Opened o(folder);
  const std::vector<float> x = ramp();
  for (std::size_t shift = 0; shift < 64; shift += 4) {
    alignas(64) std::array<std::byte, 600> in{}, out{};
    std::memcpy(in.data() + shift, x.data(), 400);
    const void* inputs[] = {in.data() + shift};
    void* outputs[] = {out.data() + (60 - shift)};
    REQUIRE(kiln_run(o.session, inputs, outputs) == KILN_OK);
    std::array<float, example_count> y{};
    std::memcpy(y.data(), out.data() + (60 - shift), 400);
    CHECK(is_answer(y.data(), x));
  }
}

TEST_CASE("what a release says of itself") {
  ReleaseFolder folder;
  make_example(folder);
  const Opened o(folder);
  CHECK(std::string(kiln_release_id(o.release)) == sha256_hex(read_file(folder.path() / "manifest.json")));
  CHECK(kiln_input_count(o.release) == 1);
  CHECK(kiln_output_count(o.release) == 1);
  kiln_tensor_info info{};
  REQUIRE(kiln_input_info(o.release, 0, &info) == KILN_OK);
  CHECK(std::string(info.name) == "x");
  CHECK(info.dtype == KILN_F32);
  CHECK(info.rank == 2);
  CHECK(info.shape[0] == 10);
  CHECK(info.bytes == 400);
  CHECK(kiln_input_info(o.release, 1, &info) == KILN_E_ARGUMENT);
  CHECK(kiln_output_info(o.release, -1, &info) == KILN_E_ARGUMENT);
  CHECK(kiln_launch_count(o.release) == 2);
  CHECK(std::string(kiln_launch_label(o.release, 0)) == "add c");
  CHECK(std::string(kiln_launch_label(o.release, 2)).empty());
  CHECK(kiln_peak_bytes(o.release) == 400 + 464 + 528);
  CHECK(std::string(kiln_version()) == "0.1.0");
}

TEST_CASE("launches are timed, and together take no longer than the call") {
  ReleaseFolder folder;
  make_example(folder);
  const Opened o(folder);
  const std::vector<float> x = ramp();
  std::vector<float> y(example_count);
  const void* inputs[] = {x.data()};
  void* outputs[] = {y.data()};
  double ns[2] = {-1, -1};
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(kiln_run_timed(o.session, inputs, outputs, ns) == KILN_OK);
  const double wall = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
  CHECK(ns[0] > 0);
  CHECK(ns[1] > 0);
  CHECK(ns[0] + ns[1] <= wall);
  CHECK(is_answer(y.data(), x));
}

TEST_CASE("sessions of one release run side by side") {
  ReleaseFolder folder;
  make_example(folder);
  const Opened o(folder);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      kiln_session* session = nullptr;
      if (kiln_session_create(o.release, &session) != KILN_OK) ++wrong;
      const std::vector<float> x = ramp();
      std::vector<float> y(example_count);
      const void* inputs[] = {x.data()};
      void* outputs[] = {y.data()};
      for (int i = 0; i < 200; ++i)
        if (kiln_run(session, inputs, outputs) != KILN_OK || !is_answer(y.data(), x)) ++wrong;
      kiln_session_destroy(session);
    });
  for (std::thread& t : callers) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("null and nonsense are refused, never a crash") {
  kiln_release* release = nullptr;
  kiln_session* session = nullptr;
  CHECK(kiln_open(nullptr, nullptr, &release) == KILN_E_ARGUMENT);
  CHECK(kiln_open("/nonexistent/kiln", nullptr, nullptr) == KILN_E_ARGUMENT);
  CHECK(kiln_open("/nonexistent/kiln", nullptr, &release) == KILN_E_IO);
  CHECK(release == nullptr);
  CHECK(std::string(kiln_last_error()).find("/nonexistent/kiln") != std::string::npos);
  CHECK(kiln_session_create(nullptr, &session) == KILN_E_ARGUMENT);
  CHECK(kiln_session_wake(nullptr) == KILN_E_ARGUMENT);
  CHECK(kiln_run(nullptr, nullptr, nullptr) == KILN_E_ARGUMENT);
  CHECK(kiln_input_count(nullptr) == 0);
  CHECK(kiln_peak_bytes(nullptr) == 0);
  CHECK(std::string(kiln_release_id(nullptr)).empty());
  kiln_close(nullptr);
  kiln_session_destroy(nullptr);
  CHECK(std::string(kiln_status_name(KILN_E_DIGEST)) == "digest");
  ReleaseFolder folder;
  make_example(folder);
  kiln_options options = kiln_options_default();
  options.threads = -1;
  CHECK(kiln_open(folder.path().c_str(), &options, &release) == KILN_E_ARGUMENT);
  options.threads = 1'000'000;
  CHECK(kiln_open(folder.path().c_str(), &options, &release) == KILN_E_ARGUMENT);
}

TEST_CASE("a state that cannot be made is an error of the session") {
  ReleaseFolder folder;
  const std::string object = folder.put_object(
      "#include \"runtime/kernel_abi.h\"\nextern \"C\" void k(void* const*, const kiln_task*) {}\n"
      "extern \"C\" void* k_create(int32_t) { return nullptr; }\nextern \"C\" void k_destroy(void*) {}\n");
  folder.finish(
      R"({"format":"kiln-plan/1","name":"n","target":"cpu","cpu_features":[],"threads":1,"inputs":[],)"
      R"("outputs":[],"buffers":[],"objects":[")" +
      object +
      R"("],"constants":"","constants_bytes":0,"prepared_bytes":0,"temporary_bytes":0,"prepare":[],)"
      R"("run":[{"object":0,"symbol":"k","args":[],"tasks":1,"scratch_bytes":0,"has_state":true,"instance":-1,)"
      R"("label":"k"}]})");
  kiln_release* release = nullptr;
  REQUIRE(kiln_open(folder.path().c_str(), nullptr, &release) == KILN_OK);
  kiln_session* session = nullptr;
  CHECK(kiln_session_create(release, &session) == KILN_E_LOAD);
  CHECK(session == nullptr);
  CHECK(std::string(kiln_last_error()).find("k_create") != std::string::npos);
  kiln_close(release);
}

TEST_CASE("launches of one kernel share a state only when their constants are the same") {
  ReleaseFolder folder;
  // As vendor kernels do, the state keeps what it made of the weight at its first call; y = 10 x the weight that it met
  // first.
  const std::string object = folder.put_object(
      "#include \"runtime/kernel_abi.h\"\nstruct S { float kept; bool full; };\n"
      "extern \"C\" void k(void* const* a, const kiln_task* t) {\n"
      "  S* s = static_cast<S*>(t->state);\n"
      "  if (!s->full) { s->kept = 10 * *static_cast<const float*>(a[0]); s->full = true; }\n"
      "  *static_cast<float*>(a[1]) = s->kept;\n}\n"
      "extern \"C\" void* k_create(int32_t) { return new S{}; }\nextern \"C\" void k_destroy(void* s) { delete "
      "static_cast<S*>(s); }\n");
  std::string constants(64 + sizeof(float), '\0');
  const float first = 3, second = 4;
  std::memcpy(constants.data(), &first, sizeof first);
  std::memcpy(constants.data() + 64, &second, sizeof second);
  const std::string digest = folder.put("constants.bin", constants);
  const std::string launch =
      R"({"object":0,"symbol":"k","args":[%],"tasks":1,"scratch_bytes":0,"has_state":true,"instance":-1,"label":"k"})";
  const auto with = [&](const char* args) { return std::string(launch).replace(launch.find('%'), 1, args); };
  folder.finish(
      R"({"format":"kiln-plan/1","name":"n","target":"cpu","cpu_features":[],"threads":1,"inputs":[],)"
      R"("outputs":[{"name":"a","dtype":"f32","shape":[1],"buffer":2},{"name":"b","dtype":"f32","shape":[1],)"
      R"("buffer":3},{"name":"c","dtype":"f32","shape":[1],"buffer":4}],)"
      R"("buffers":[{"kind":"constant","bytes":4,"offset":0,"index":0},{"kind":"constant","bytes":4,"offset":64,)"
      R"("index":0},)"
      R"({"kind":"output","bytes":4,"offset":0,"index":0},{"kind":"output","bytes":4,"offset":0,"index":1},)"
      R"({"kind":"output","bytes":4,"offset":0,"index":2}],)"
      R"("objects":[")" +
      object + R"("],"constants":")" + digest +
      R"(","constants_bytes":68,"prepared_bytes":0,"temporary_bytes":0,"prepare":[],"run":[)" + with("0,2") + "," +
      with("1,3") + "," + with("0,4") + "]}");
  kiln_release* release = nullptr;
  REQUIRE_MESSAGE(kiln_open(folder.path().c_str(), nullptr, &release) == KILN_OK, kiln_last_error());
  kiln_session* session = nullptr;
  REQUIRE(kiln_session_create(release, &session) == KILN_OK);
  alignas(64) float a = 0, b = 0, c = 0;
  void* outputs[] = {&a, &b, &c};
  const void* none[] = {nullptr};
  REQUIRE(kiln_run(session, none, outputs) == KILN_OK);
  CHECK(a == 30);
  CHECK(b == 40);
  CHECK(c == 30);
  kiln_session_destroy(session);
  kiln_close(release);
}

TEST_CASE("other shapes, types and numbers of inputs than the release was verified for are refused, each by name") {
  ReleaseFolder folder;
  make_example(folder);
  const Opened o(folder);
  const auto asked = [&](kiln_dtype dtype, std::vector<int64_t> shape, int32_t count = 1) {
    const kiln_tensor_info given{"any", dtype, static_cast<int32_t>(shape.size()), shape.data(), 0};
    return kiln_accepts(o.release, &given, count);
  };
  const auto said = [](const char* words) { return std::string(kiln_last_error()).find(words) != std::string::npos; };
  CHECK(asked(KILN_F32, {10, 10}) == KILN_OK);
  // The edges of what it claims: one more, one less, another rank with as many elements, none.
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{10, 11}, {10, 9}, {9, 10}, {100}, {10, 10, 1}, {}, {0}}) {
    CHECK(asked(KILN_F32, shape) == KILN_E_SHAPE);
    CHECK(said("the release is for f32[10, 10]"));
  }
  CHECK(asked(KILN_F64, {10, 10}) == KILN_E_SHAPE);
  CHECK(said("cannot take input 'x' as f64[10, 10]"));
  CHECK(asked(KILN_F32, {10, 10}, 0) == KILN_E_SHAPE);
  CHECK(said("cannot take 0 inputs: the release is for 1"));
  CHECK(kiln_accepts(o.release, nullptr, 1) == KILN_E_ARGUMENT);
  CHECK(kiln_accepts(nullptr, nullptr, 0) == KILN_E_ARGUMENT);
  const kiln_tensor_info shapeless{"x", KILN_F32, 2, nullptr, 0};
  CHECK(kiln_accepts(o.release, &shapeless, 1) == KILN_E_ARGUMENT);
  CHECK(std::string(kiln_status_name(KILN_E_SHAPE)) == "shape");
}
