// Every command's declaration; each is defined in the file of its name.
#pragma once

#include "daemon/kctl/command.h"

namespace kiln::kctl {

Command status_command();
Command node_command();
Command doctor_command();
Command import_command();
Command tune_command();
Command watch_command();
Command jobs_command();
Command show_command();
Command cancel_command();  // jobs.cpp
Command resume_command();  // jobs.cpp
Command releases_command();
Command diff_command();
Command promote_command();
Command rollback_command();
Command export_command();
Command report_show_command();
Command report_verify_command();
Command report_html_command();
Command corpus_list_command();
Command corpus_show_command();
Command corpus_add_command();
Command corpus_remove_command();
Command golden_list_command();
Command golden_run_command();
Command objects_import_command();
Command policy_check_command();
Command policy_diff_command();
Command policy_show_command();
Command replay_command();
Command ledger_show_command();
Command ledger_verify_command();

}  // namespace kiln::kctl
