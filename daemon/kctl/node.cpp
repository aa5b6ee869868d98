#include <fmt/core.h>
#include <fmt/ranges.h>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/text.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

void print_rates(const json::object& node, std::string_view member, std::string_view unit) {
  for (const auto& [name, rate] : json::as_object(json::at(node, member, "the node"), member))
    print_line(fmt::format("  {:<14}{:>12}", std::string_view(name), format_rate(rate.to_number<double>(), unit)));
}

Exit run(Session& session, const Arguments&) {
  const json::object node = session.daemon().get("/v1/node");
  if (session.json) {
    print_json(node);
    return Exit::done;
  }
  const std::string what = "the node";
  if (const auto state = json::find_string(node, "state", what)) {
    print_line(*state);
    return Exit::done;
  }
  print_line(fmt::format("{}, {} cores, {} NUMA node(s), {} of memory", json::get_string(node, "cpu_model", what),
                         json::get_int(node, "cores", what), json::get_int(node, "numa_nodes", what),
                         format_bytes(json::get_double(node, "memory_bytes", what))));
  print_line(fmt::format("caches    L1d {}, L2 {}, L3 {}", format_bytes(json::get_double(node, "l1d_bytes", what)),
                         format_bytes(json::get_double(node, "l2_bytes", what)),
                         format_bytes(json::get_double(node, "l3_bytes", what))));
  print_line(fmt::format("features  {}", fmt::join(json::get_strings(node, "features", what), " ")));
  print_line(fmt::format("compiler  {}\nkernel    {}\nsandbox   {}", json::get_string(node, "compiler", what),
                         json::get_string(node, "os_kernel", what),
                         fmt::join(json::get_strings(node, "sandbox", what), " ")));
  const auto counter = json::find_string(node, "energy_counter", what);
  const auto none = json::find_string(node, "no_energy_counter", what);
  if (counter || none) print_line(fmt::format("energy    {}", counter ? *counter : "no counter: " + *none));
  print_line("measured ceilings, all cores");
  print_rates(node, "bandwidth", "B");
  print_rates(node, "flops", "FLOP");
  print_line(fmt::format("launch    {}", format_ns(json::get_double(node, "launch_ns", what))));
  print_line(fmt::format("false differences of the instrument (A/A)  {:.1f} %",
                         100 * json::get_double(node, "false_difference_rate", what)));
  return Exit::done;
}

}  // namespace

Command node_command() { return {"node", "What this node is and what was measured of it", "viewer", {}, run}; }

}  // namespace kiln::kctl
