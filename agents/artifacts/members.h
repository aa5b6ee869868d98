// A struct that is a JSON object names its members once, for writing and for reading:
//
//   template <>
//   struct Members<Diagnostic> {
//     static constexpr std::string_view what = "diagnostic of a build fact";  // in the errors of a reader
//     static void visit(auto& io, auto& d) {
//       io("file", d.file);
//       io("line", d.line);
//     }
//   };
//
// Members are written and read in the order of the visit. A count is a number from 0 to 2^53 unless a limit is given,
// a figure may be Inf or NaN (fields.h), a list or a map holds any of these.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <type_traits>

#include "agents/artifacts/fields.h"
#include "agents/artifacts/verdict.h"
#include "runtime/base/json.h"

namespace kiln::agents::fields {

template <class T>
struct Members;

template <class T>
[[nodiscard]] json::object write(const T& from);
template <class T>
[[nodiscard]] T read(const json::value& v);

// Puts members into an object.
class Writer {
 public:
  template <class T>
  void operator()(std::string_view key, const T& member, std::int64_t = 0) {
    out[key] = of(member);
  }
  // Written only when there is something to write.
  template <class T>
  void unless_absent(std::string_view key, const std::optional<T>& member) {
    if (member) out[key] = of(*member);
  }
  template <class T>
  void unless_empty(std::string_view key, const T& member) {
    if (!member.empty()) out[key] = of(member);
  }

  json::object out;

 private:
  static json::value of(double figure) { return number(figure); }
  static json::value of(Verdict verdict) { return json::value(name(verdict)); }
  template <class T>
  static json::value of(const std::map<std::string, T>& figures) {
    json::object all;
    for (const auto& [key, figure] : figures) all[key] = of(figure);
    return all;
  }
  template <class T>
  static json::value of(const std::vector<T>& items) {
    json::array all;
    for (const T& item : items) all.push_back(of(item));
    return all;
  }
  template <class T>
  static json::value of(const T& one) {
    if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>)
      return json::value(one);
    else
      return write(one);
  }
};

// Takes members out of an object. Throws Error(invalid_input) naming the member and `what`.
class Reader {
 public:
  Reader(const json::object& from, std::string_view what) : from_(from), what_(what) {}

  void operator()(std::string_view key, std::string& member) { member = json::get_string(from_, key, what_); }
  void operator()(std::string_view key, bool& member) { member = json::get_bool(from_, key, what_); }
  void operator()(std::string_view key, double& member) { member = number(from_, key, what_); }
  void operator()(std::string_view key, std::int32_t& member) { member = small_count(from_, key, what_); }
  void operator()(std::string_view key, std::int64_t& member, std::int64_t limit = std::int64_t{1} << 53) {
    member = count(from_, key, what_, limit);
  }
  void operator()(std::string_view key, Verdict& member) {
    member = verdict_from_name(json::get_string(from_, key, what_));
  }
  void operator()(std::string_view key, std::vector<std::string>& member) {
    member = json::get_strings(from_, key, what_);
  }
  void operator()(std::string_view key, std::vector<double>& member) { member = numbers(from_, key, what_); }
  void operator()(std::string_view key, std::vector<std::vector<double>>& member) {
    member = list(from_, key, what_, [&](const json::value& item) {
      std::vector<double> figures;
      for (const json::value& figure : json::as_array(item, what_)) figures.push_back(number(figure, what_));
      return figures;
    });
  }
  void operator()(std::string_view key, std::map<std::string, double>& member) {
    for (const auto& figure : json::as_object(json::at(from_, key, what_), what_))
      member[std::string(figure.key())] = number(figure.value(), what_);
  }
  // Any integers: the values of tunables.
  void operator()(std::string_view key, std::map<std::string, std::int64_t>& member) {
    const std::string place = std::string(key) + " of a " + std::string(what_);
    const json::object& all = json::as_object(json::at(from_, key, what_), place);
    for (const auto& one : all) member[std::string(one.key())] = json::get_int(all, one.key(), place);
  }
  template <class T>
  void operator()(std::string_view key, std::vector<T>& member) {
    member = list(from_, key, what_, read<T>);
  }
  template <class T>
  void unless_absent(std::string_view key, std::optional<T>& member) {
    if (const json::value* found = from_.if_contains(key)) member = read<T>(*found);
  }
  template <class T>
  void unless_empty(std::string_view key, T& member) {
    if (from_.if_contains(key)) (*this)(key, member);
  }

 private:
  const json::object& from_;
  std::string_view what_;
};

template <class T>
json::object write(const T& from) {
  Writer io;
  Members<T>::visit(io, from);
  return std::move(io.out);
}

template <class T>
T read(const json::value& v) {
  Reader io(json::as_object(v, Members<T>::what), Members<T>::what);
  T out;
  Members<T>::visit(io, out);
  return out;
}

}  // namespace kiln::agents::fields
