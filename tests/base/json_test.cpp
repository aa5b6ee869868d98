#include "runtime/base/json.h"

#include <doctest/doctest.h>

using namespace kiln;

TEST_CASE("a duplicate key is refused at any depth, by name") {
  CHECK_THROWS_WITH_AS((void)json::parse(R"({"a":{"b":1,"c":2,"b":3}})", "x.json"),
                       doctest::Contains("member 'b' stands twice"), Error);
  CHECK_NOTHROW((void)json::parse(R"({"a":{"b":1},"c":{"b":1}})", "x.json"));
}

TEST_CASE("text cut at every byte is an error, never a value") {
  const std::string whole = R"({"k":[1,2.5,"x\u00e9",null,true],"m":{"n":-3}})";
  CHECK_NOTHROW((void)json::parse(whole, "whole"));
  for (std::size_t n = 0; n < whole.size(); ++n) CHECK_THROWS_AS((void)json::parse(whole.substr(0, n), "cut"), Error);
}

TEST_CASE("bytes after the value, depth and size are limited") {
  CHECK_THROWS_AS((void)json::parse("{} x", "x"), Error);
  CHECK_NOTHROW((void)json::parse("{} \n", "x"));
  CHECK_THROWS_AS((void)json::parse(std::string(40, '[') + std::string(40, ']'), "deep"), Error);
  CHECK_THROWS_AS((void)json::parse("[1,2,3]", "big", {.bytes = 3, .depth = 32}), Error);
}

TEST_CASE("canonical text does not depend on the order of members") {
  CHECK(json::canonical(json::parse(R"({"b":1,"a":{"z":1,"y":2}})", "1")) ==
        json::canonical(json::parse(R"({"a":{"y":2,"z":1},"b":1})", "2")));
  CHECK(json::canonical(json::parse(R"({"b":1,"a":2})", "1")) == R"({"a":2,"b":1})");
}

TEST_CASE("members are read with errors that name the place") {
  const json::object o = json::parse(R"({"n":1.5,"s":"x"})", "o").get_object();
  CHECK_THROWS_WITH((void)json::get_int(o, "n", "the plan"),
                    "cannot read member 'n' of the plan: a 64-bit integer is needed");
  CHECK_THROWS_WITH((void)json::get_string(o, "q", "the plan"), "cannot read member 'q' of the plan: it is missing");
}
