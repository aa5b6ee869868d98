// What a candidate leaves in arenas of a GPU's memory, judged there; executed as device_oracle.cpp says.
#include "daemon/worker/device_oracle/device_judge.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "agents/graph/interpreter.h"
#include "daemon/worker/compare.h"
#include "daemon/worker/conditioning.h"
#include "daemon/worker/inputs.h"
#include "tests/cuda/oracle_on_gpu.h"

using namespace kiln;
using namespace kiln::graph;
using testing::device_oracle;
using testing::gpu_of_test;
using worker::Findings;

namespace {

constexpr std::byte kPoison{0x7b};

// A graph, arenas for two calls of it in device memory, and the outputs that a right candidate gives.
struct Calls {
  Graph graph;
  std::optional<Homogeneity> powers;
  worker::DeviceJudge judge{device_oracle()};
  worker::ArenaLayout layout;
  std::optional<targets::cuda::DeviceMemory> memory;

  explicit Calls(Graph g) : graph(std::move(g)), powers(homogeneity_of(graph)) {
    layout = question("normal").layout();
    memory.emplace(gpu_of_test().allocate(2 * layout.total_bytes));
  }

  [[nodiscard]] worker::Question question(const std::string& family) const {
    return {"graph", graph, powers ? &*powers : nullptr, family, 5, kPoison, worker::Edge::end};
  }
  [[nodiscard]] std::byte* base() const { return static_cast<std::byte*>(memory->pointer()); }

  void fill(const std::string& family) { judge.fill(question(family), base(), 2); }

  // Bytes of arena `copy`, and back.
  [[nodiscard]] std::vector<std::byte> read(int copy, const worker::ArenaLayout::Window& window) const {
    std::vector<std::byte> out(window.bytes);
    gpu_of_test().copy_out(out, address(copy, window.offset));
    return out;
  }
  void write(int copy, std::size_t offset, std::span<const std::byte> bytes) const {
    gpu_of_test().copy_in(address(copy, offset), bytes);
  }
  [[nodiscard]] kiln::cuda::DevicePointer address(int copy, std::size_t offset) const {
    return memory->address() + static_cast<std::size_t>(copy) * layout.total_bytes + offset;
  }

  [[nodiscard]] std::vector<Tensor> inputs(int copy) const {
    std::vector<Tensor> out;
    for (std::size_t i = 0; i < graph.inputs.size(); ++i)
      out.push_back({graph.type(graph.inputs[i]), read(copy, layout.inputs[i])});
    return out;
  }
  // What a right candidate does: the interpreter, over what it finds.
  void call() const {
    for (int copy = 0; copy < 2; ++copy) {
      const std::vector<Tensor> outputs = evaluate(graph, inputs(copy), Arithmetic::model);
      for (std::size_t o = 0; o < outputs.size(); ++o) write(copy, layout.outputs[o].offset, outputs[o].bytes);
    }
  }
  Findings found(const std::string& family) { return judge.judge(question(family), base(), 2); }
};

Graph row_sums() {
  return testing::of_node(Reduce{Monoid::sum, {1}, false}, {{DType::f32, {400, 16}}});
}

void check_clean(const Findings& findings) {
  CHECK(findings.guard == -1);
  CHECK(findings.input == -1);
  CHECK_FALSE(findings.unstable);
  CHECK(findings.unwritten.output == -1);
  CHECK(findings.undoubled.output == -1);
  CHECK(findings.evaluator == "GPU");
}

}  // namespace

TEST_CASE("an arena on a GPU has the inputs, poison and guards that the host's has") {
  for (const char* family : {"normal", "heavy_tail"}) {
    Calls calls(testing::of_node(Gather{0}, {{DType::bf16, {13, 7}}, {DType::i64, {5}}}));
    calls.fill(family);
    std::vector<std::byte> want(calls.layout.total_bytes), got(want.size());
    worker::paint_arena(want, calls.layout, kPoison);
    const auto domains = input_domains(calls.graph);
    for (std::size_t i = 0; i < 2; ++i) {
      const Tensor made = worker::make_input(calls.graph.type(calls.graph.inputs[i]), domains[i], family, 5, i);
      std::copy(made.bytes.begin(), made.bytes.end(),
                want.begin() + static_cast<std::ptrdiff_t>(calls.layout.inputs[i].offset));
    }
    for (int copy = 0; copy < 2; ++copy) {
      gpu_of_test().copy_out(got, calls.address(copy, 0));
      CHECK(got == want);
    }
  }
}

TEST_CASE("a right call has no findings and the figures of the host's comparison") {
  Calls calls(row_sums());
  calls.fill("normal");
  calls.call();
  const Findings findings = calls.found("normal");
  check_clean(findings);
  REQUIRE(findings.errors.size() == 1);
  const std::vector<Tensor> inputs = calls.inputs(0);
  const Tensor plain = device_oracle().evaluate(calls.graph, inputs, Arithmetic::model).at(0);
  const Tensor right = device_oracle().evaluate(calls.graph, inputs, Arithmetic::fp64).at(0);
  const agents::ErrorFact want = worker::compare_output(calls.read(0, calls.layout.outputs[0]), plain, right);
  CHECK(findings.errors[0].normwise == doctest::Approx(want.normwise).epsilon(1e-12));
  CHECK(findings.errors[0].normwise_plain == doctest::Approx(want.normwise_plain).epsilon(1e-12));
  CHECK(findings.errors[0].max_scaled == doctest::Approx(want.max_scaled).epsilon(1e-12));
  CHECK(findings.errors[0].family == "normal");
}

TEST_CASE("what is wrong in an arena is found, in either call") {
  Calls calls(row_sums());
  const worker::ArenaLayout::Window input = calls.layout.inputs[0], output = calls.layout.outputs[0];
  for (const int copy : {0, 1}) {
    calls.fill("normal");
    calls.call();
    const std::byte one[4] = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    SUBCASE("a guard byte") {
      calls.write(copy, output.offset - 4, one);
      CHECK(calls.found("normal").guard >= static_cast<std::int64_t>(output.offset) - 4);
    }
    SUBCASE("the last guard byte") {
      const std::byte before = calls.read(copy, {calls.layout.total_bytes - 1, 1})[0];
      const std::byte changed[1] = {before ^ std::byte{0x80}};
      calls.write(copy, calls.layout.total_bytes - 1, changed);
      CHECK(calls.found("normal").guard == static_cast<std::int64_t>(calls.layout.total_bytes) - 1);
    }
    SUBCASE("an input") {
      calls.write(copy, input.offset + input.bytes - 4, one);
      CHECK(calls.found("normal").input == 0);
    }
    SUBCASE("an output that differs between the calls") {
      calls.write(copy, output.offset + 4 * 50, one);
      CHECK(calls.found("normal").unstable);
    }
  }
  calls.fill("normal");
  calls.call();
  const std::vector<std::byte> poison(4, kPoison);
  for (const int copy : {0, 1}) calls.write(copy, output.offset + 4 * 50, poison);
  const Findings findings = calls.found("normal");
  CHECK(findings.unwritten == worker::OutputElement{0, 50});
  CHECK_FALSE(findings.unstable);
  CHECK(findings.errors.at(0).worst_index == 50);
}

TEST_CASE("inputs that were not kept are drawn again, with the same findings") {
  for (const bool makes_room : {false, true}) {
    Calls calls(row_sums());
    if (makes_room) calls.judge.make_room();
    for (const char* family : {"normal", "doubled"}) {
      calls.judge.prepare(calls.question(family));
      calls.fill(family);
      calls.call();
      check_clean(calls.found(family));
      for (const int copy : {0, 1}) {
        if (std::string_view(family) == "doubled") continue;  // once after "normal"
        const worker::ArenaLayout::Window input = calls.layout.inputs[0];
        std::vector<std::byte> bytes = calls.read(copy, input);
        bytes[1001] ^= std::byte{1};
        calls.write(copy, input.offset, bytes);
        CHECK(calls.found(family).input == 0);
        bytes[1001] ^= std::byte{1};
        calls.write(copy, input.offset, bytes);
        check_clean(calls.found(family));
      }
    }
  }
}

TEST_CASE("doubled inputs must double what was judged before") {
  Calls calls(row_sums());
  REQUIRE(calls.powers);
  calls.fill("doubled");
  CHECK_THROWS_AS((void)calls.found("doubled"), Error);
  for (const bool is_linear : {true, false}) {
    calls.fill("normal");
    calls.call();
    const Findings normal = calls.found("normal");
    check_clean(normal);
    calls.fill("doubled");
    calls.call();
    std::vector<std::byte> sums = calls.read(0, calls.layout.outputs[0]);
    auto* const values = reinterpret_cast<float*>(sums.data());
    if (!is_linear) values[31] = std::nextafter(values[31], std::numeric_limits<float>::infinity());
    for (const int copy : {0, 1}) calls.write(copy, calls.layout.outputs[0].offset, sums);
    const Findings doubled = calls.found("doubled");
    CHECK(doubled.undoubled == (is_linear ? worker::OutputElement{} : worker::OutputElement{0, 31}));
    CHECK(doubled.input == -1);
    CHECK(doubled.expected_digest != normal.expected_digest);
    CHECK(doubled.errors.at(0).normwise < 1e-6);
  }
}

TEST_CASE("digests tell families apart, and are the same for the same outputs whoever is asked") {
  Calls calls(row_sums()), others(row_sums());
  std::vector<std::string> digests, expected;
  for (const char* family : {"normal", "integers"}) {
    for (Calls* one : {&calls, &others}) {
      one->fill(family);
      one->call();
      const Findings findings = one->found(family);
      digests.push_back(findings.digest);
      expected.push_back(findings.expected_digest);
    }
  }
  CHECK(digests[0] == digests[1]);
  CHECK(digests[0] != digests[2]);
  CHECK(expected[0] == expected[1]);
  CHECK(expected[0] != expected[2]);
  CHECK(digests[2] == expected[2]);  // sums of small integers are exact in float32
}

TEST_CASE("few elements are allowed for as the host allows for them") {
  for (const char* family : {"normal", "amplified"}) {
    Graph g = testing::of_node(Softmax{1, false}, {{DType::f32, {3, 50}}});
    const ValueId top = g.add_node(Reduce{Monoid::sum, {0}, false}, {g.outputs[0]}, "sum")[0];
    g.outputs = {top};
    Calls calls(std::move(g));
    calls.fill(family);
    calls.call();
    const std::vector<Tensor> inputs = calls.inputs(0);
    const auto plain = [&](const std::vector<Tensor>& in) {
      return device_oracle().evaluate(calls.graph, in, Arithmetic::model);
    };
    const std::vector<Tensor> right = device_oracle().evaluate(calls.graph, inputs, Arithmetic::fp64);
    const worker::Conditioning want =
        worker::conditioning_of(calls.graph, plain, inputs, right, worker::is_large(family), 5, 1).at(0);
    CHECK(want.normwise > 0);
    const agents::ErrorFact alone =
        worker::compare_output(calls.read(0, calls.layout.outputs[0]), plain(inputs).at(0), right.at(0));
    const agents::ErrorFact found = calls.found(family).errors.at(0);
    CHECK(found.normwise_plain == doctest::Approx(std::max(alone.normwise_plain, want.normwise)).epsilon(1e-11));
    CHECK(found.max_scaled_plain == doctest::Approx(std::max(alone.max_scaled_plain, want.max_scaled)).epsilon(1e-11));
  }
}
