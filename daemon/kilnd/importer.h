// POST /v1/workloads: an import worker turns blobs into a workload row, or into an error and nothing else.
#pragma once

#include <memory>

#include "daemon/control/services.h"
#include "daemon/kilnd/jobs.h"

namespace kiln::kilnd {

[[nodiscard]] std::unique_ptr<control::ModelImporter> make_importer(JobEnvironment env);

}  // namespace kiln::kilnd
