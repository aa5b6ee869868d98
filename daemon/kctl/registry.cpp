#include "daemon/kctl/commands.h"

namespace kiln::kctl {

Parameter positional(std::string name, std::string help, bool required) {
  return {Parameter::Kind::positional, std::move(name), std::move(help), required, false, {}};
}
Parameter option(std::string name, std::string value, std::string help) {
  return {Parameter::Kind::option, std::move(name), std::move(help), false, false, std::move(value)};
}
Parameter repeated_option(std::string name, std::string value, std::string help) {
  return {Parameter::Kind::option, std::move(name), std::move(help), false, true, std::move(value)};
}
Parameter flag(std::string name, std::string help) {
  return {Parameter::Kind::flag, std::move(name), std::move(help), false, false, {}};
}

std::vector<Command> commands() {
  return {status_command(),        node_command(),        doctor_command(),       import_command(),
          tune_command(),          watch_command(),       jobs_command(),         show_command(),
          cancel_command(),        resume_command(),      releases_command(),     diff_command(),
          promote_command(),       rollback_command(),    export_command(),       report_show_command(),
          report_verify_command(), report_html_command(), corpus_list_command(),  corpus_show_command(),
          corpus_add_command(),    corpus_remove_command(), golden_list_command(), golden_run_command(),
          objects_import_command(), policy_check_command(), policy_diff_command(), policy_show_command(),
          replay_command(),        ledger_show_command(), ledger_verify_command()};
}

std::string group_summary(std::string_view group) {
  if (group == "report") return "Signed reports: show, verify, HTML";
  if (group == "corpus") return "Kernel templates of the node";
  if (group == "golden") return "Golden sets that the corpus has";
  if (group == "objects") return "Code objects that outlive their job";
  if (group == "policy") return "Policies: check, compare, show";
  return "The record of all facts";
}

}  // namespace kiln::kctl
