// The example that most tests run: y = (x + c) * 2, in two launches over a temporary, with c prepared from a constant.
#pragma once

#include <cstring>
#include <vector>

#include "tests/runtime/release_folder.h"

namespace kiln::test {

inline constexpr int example_count = 100;  // elements of x and y

inline const std::string example_source = R"(
#include "runtime/kernel_abi.h"
extern "C" void negate(void* const* a, const kiln_task* t) {  // prepare: c = -constant
  for (int i = 0; i < 100; ++i) static_cast<float*>(a[1])[i] = -static_cast<const float*>(a[0])[i];
  (void)t;
}
extern "C" void add(void* const* a, const kiln_task* t) {  // one task per 10 elements
  const long begin = t->index * 10;
  for (long i = begin; i < begin + 10; ++i)
    static_cast<float*>(a[2])[i] = static_cast<const float*>(a[0])[i] + static_cast<const float*>(a[1])[i];
}
struct State { int magic; };
extern "C" void* twice_create(int32_t) { return new State{7}; }
extern "C" void twice_destroy(void* s) { delete static_cast<State*>(s); }
extern "C" void twice(void* const* a, const kiln_task* t) {
  const bool good = t->state && static_cast<State*>(t->state)->magic == 7 && t->scratch;
  const long begin = t->index * 10;
  float* scratch = static_cast<float*>(t->scratch);
  for (long i = 0; i < 10; ++i) scratch[i] = static_cast<const float*>(a[0])[begin + i];
  for (long i = 0; i < 10; ++i) static_cast<float*>(a[1])[begin + i] = good ? 2 * scratch[i] : -1;
}
)";

inline std::string example_constants() {
  std::vector<float> values(example_count);
  for (int i = 0; i < example_count; ++i) values[static_cast<std::size_t>(i)] = static_cast<float>(-i);
  std::string bytes(sizeof(float) * values.size(), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline std::string example_plan(const std::string& object, const std::string& constants) {
  return R"({"format":"kiln-plan/1","name":"example","target":"cpu","cpu_features":[],"threads":2,)"
         R"("inputs":[{"name":"x","dtype":"f32","shape":[10,10],"buffer":0}],)"
         R"("outputs":[{"name":"y","dtype":"f32","shape":[10,10],"buffer":1}],)"
         R"("buffers":[{"kind":"input","bytes":400,"offset":0,"index":0},{"kind":"output","bytes":400,"offset":0,)"
         R"("index":0},)"
         R"({"kind":"constant","bytes":400,"offset":0,"index":0},{"kind":"prepared","bytes":400,"offset":64,)"
         R"("index":0},)"
         R"({"kind":"temporary","bytes":400,"offset":128,"index":0}],)"
         R"("objects":[")" +
         object + R"("],"constants":")" + constants +
         R"(","constants_bytes":400,"prepared_bytes":464,"temporary_bytes":528,)"
         R"("prepare":[{"object":0,"symbol":"negate","args":[2,3],"tasks":1,"scratch_bytes":0,"has_state":false,)"
         R"("instance":-1,"label":"negate"}],)"
         R"("run":[{"object":0,"symbol":"add","args":[0,3,4],"tasks":10,"scratch_bytes":0,"has_state":false,)"
         R"("instance":0,"label":"add c"},)"
         R"({"object":0,"symbol":"twice","args":[4,1],"tasks":10,"scratch_bytes":40,"has_state":true,)"
         R"("instance":1,"label":"twice"}]})";
}

// y[i] = 2 (x[i] + i), by the definition above and by nothing of Kiln.
inline float example_answer(float x, int i) { return 2 * (x + static_cast<float>(i)); }

inline void make_example(ReleaseFolder& folder) {
  const std::string object = folder.put_object(example_source);
  const std::string constants = folder.put("constants.bin", example_constants());
  folder.finish(example_plan(object, constants));
}

}  // namespace kiln::test
