// What a product's or a convolution's templates sum up of their results: parts of rows in the launch that computes
// (store/corpus/templates/device/statistics.cuh), and one launch more that concludes each row from its parts.
#pragma once

#include "agents/region/kernel.h"
#include "agents/writer/family.h"
#include "store/corpus/corpus.h"

namespace kiln::agents::writer::device {

// Whether the template leaves the parts ([geometry] parts), and the rows ask for nothing that these do not hold: sums,
// and sums of squares about the mean.
[[nodiscard]] bool accepts_statistics(const store::TemplateSpec& spec, const Statistics* statistics);

// The epilogue with what is summed up as its last result.
[[nodiscard]] graph::Expr with_observed(graph::Expr epilogue, const std::optional<Statistics>& statistics);

// kStatistics, kParts, parts_of(arguments, series), and the macros KILN_LED, the kernel that computes, and
// KILN_CONCLUDE, the one that concludes or nothing. Each of `series` has `parts` parts; equally many series in turn
// make up a row. Nothing for a template without, whose parts are kNoParts.
constexpr std::int64_t kNoParts = -1;
[[nodiscard]] std::string statistics_code(const std::optional<Statistics>& statistics, std::int64_t series,
                                          std::int64_t parts, Hooks& hooks);

}  // namespace kiln::agents::writer::device
