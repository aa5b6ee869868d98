// The parts of the HTML page. Every text that comes from a model, a template or a compiler passes through escaped().
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/json_fwd.h"

namespace kiln::agents::page {

// For element content and for attributes in double quotes; control characters become U+FFFD.
[[nodiscard]] std::string escaped(std::string_view text);

[[nodiscard]] std::string duration(double ns);      // "12.3 µs"; "-" when there is none
[[nodiscard]] std::string rate(double per_second, std::string_view unit);  // "38.4 GB/s"
[[nodiscard]] std::string percent(double fraction);
[[nodiscard]] std::string speed_up(const json::object& s);  // "1.37x [1.33, 1.41]"
[[nodiscard]] std::string variant(const json::value& v);    // "matmul/packed mr=12 nr=32"; "none" for null
[[nodiscard]] std::string badge(std::string_view verdict);  // coloured word, with a sign that survives print in grey

// A table whose cells are already HTML.
struct Table {
  std::string caption;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  std::vector<bool> numeric;  // per column: right-aligned
};
[[nodiscard]] std::string table(const Table& t);

// Inline SVG. `report` as agents::report() makes it.
[[nodiscard]] std::string roofline(const json::object& report);
[[nodiscard]] std::string convergence(const json::object& region);
[[nodiscard]] std::string timeline(const json::array& spans);

[[nodiscard]] std::string_view style();

// Positions on a logarithmic axis and its 1-2-5 ticks.
struct LogAxis {
  double low = 1, high = 10, from = 0, to = 100;  // values, pixels
  [[nodiscard]] double at(double value) const;
  [[nodiscard]] std::vector<double> ticks() const;
};

}  // namespace kiln::agents::page
