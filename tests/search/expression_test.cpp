#include <doctest/doctest.h>

#include "agents/search/expression.h"
#include "agents/search/search.h"
#include "runtime/base/error.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

const Figures kFigures = {{"m", 100}, {"vector_lanes", 16}, {"has_avx2", 1}, {"e", 64}};
const std::map<std::string, std::int64_t> kTunables = {{"mr", 12}, {"nr", 32}, {"kc", 256}};

double value(const std::string& text) { return evaluate(text, kFigures, kTunables); }

std::string failure(const std::string& text) {
  try {
    (void)value(text);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_input);
    return error.what();
  }
  FAIL("'" << text << "' was accepted");
  return {};
}

}  // namespace

TEST_CASE("arithmetic over figures and tunables") {
  CHECK(value("mr * nr / vector_lanes") == 24);
  CHECK(value("mr * nr / vector_lanes <= 28") == 1);
  CHECK(value("ceil(m / mr)") == 9);
  CHECK(value("floor(m / mr)") == 8);
  CHECK(value("kc % 4 == 0") == 1);
  CHECK(value("kc % 7") == 4);
  CHECK(value("2 + kc % 7 * 3") == 14);  // % binds like * and /
  CHECK(value("min(mr, nr) + max(mr, nr)") == 44);
  CHECK(value("has_avx2 && mr > 4 || 0") == 1);
  CHECK(value("e * 2") == 128);  // a figure, not Euler's number
  CHECK(value("mr >= 12 ? 5 : 6") == 5);
  CHECK(value("mr != 12") == 0);
}

TEST_CASE("a wrong expression is refused by name and cause") {
  CHECK(failure("mr * missing").find("'missing' is neither a tunable nor a figure") != std::string::npos);
  CHECK(failure("mr * missing").find("'mr * missing'") != std::string::npos);
  CHECK(failure("mr = 8").find("assigns") != std::string::npos);
  CHECK(failure("1, 2").find("several results") != std::string::npos);
  CHECK(failure("m / (mr - 12)").find("finite") != std::string::npos);
  for (const char* text : {"", "mr *", "(mr", "mr nr", "nosuch(mr)", "\"text\"", "mr)"})
    CHECK_FALSE(failure(text).empty());
  CHECK(failure(std::string(5000, '1')).find("4096") != std::string::npos);
}

TEST_CASE("every beginning of an expression is a number or an Error") {
  const std::string text = "ceil(m / mr) * (kc % 4 == 0 ? min(mr, nr) : 1) <= 28";
  for (std::size_t length = 0; length < text.size(); ++length) {
    try {
      (void)value(text.substr(0, length));
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_input);
    }
  }
}

TEST_CASE("slots are read anew at each evaluation, and the last one decides when") {
  std::vector<double> values = {1, 2, 3};
  const Expression sum("a + b + m", {{"m", 10}}, {"a", "b", "c"}, values);
  CHECK(sum.last_slot() == 1);
  CHECK(sum.value() == 13);
  values[1] = 20;
  CHECK(sum.value() == 31);
  CHECK(Expression("m > 3", {{"m", 10}}, {"a"}, values).last_slot() == -1);
}
