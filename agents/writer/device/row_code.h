// A row kernel's hooks in the form that a template wants them in: what row_forms.cpp chooses, and row.cpp writes.
#pragma once

#include "agents/writer/device/device.h"
#include "agents/writer/passes.h"

namespace kiln::agents::writer::device {

// What the templates of the family differ in.
struct RowForm {
  bool joint = false;        // a mean and the squares about it come out of one pass
  bool staged = false;       // what stays on chip is each row's own, in shared memory
  bool compensated = false;  // float32 sums
  bool keeps = false;        // registers hold a row from pass to pass, and what is dear to compute of it
  bool ahead = false;        // these also take what only a later pass needs at once
};

// The most partial results of one pass.
[[nodiscard]] std::int64_t most_reductions(const Passes& passes);

// `hooks` may name arguments of its own before.
[[nodiscard]] Hooks row_code(const RowKernel& kernel, const RowForm& form, Hooks hooks);

}  // namespace kiln::agents::writer::device
