// What the kernel says of this machine that makes measurements unsteady or workers less contained. Reads
// files only.
#pragma once

#include <filesystem>
#include <vector>

#include "daemon/kilnd/check.h"

namespace kiln::kilnd {

// governor, smt, hugepages, clocksource, microcode, memory, memfd: from proc/ and sys/ below `root` ("/" but
// in tests). A file that is not there means that the kernel does not have the matter in question, which is no
// fault.
[[nodiscard]] std::vector<Check> check_machine(const std::filesystem::path& root);

// Why a worker may be refused namespaces of its own, as the command that allows them.
[[nodiscard]] std::string namespace_cure(const std::filesystem::path& root);

}  // namespace kiln::kilnd
