// Tables of a campaign.
#pragma once

#include "tests/bench/mutations/campaign.h"

namespace kiln::mutation {

// Mutants by operator and by family, right variants by family, then one paragraph for everything that was
// accepted and is not equal to its original, and for every right variant that was refused.
void print_report(const Records& records);
void print_costs(const Costs& costs, std::size_t trials);

// Of the mutants that are wrong, those that were caught; 1 when there are none.
[[nodiscard]] double caught_share(const Records& records);
[[nodiscard]] std::size_t refused_right_variants(const Records& records);

}  // namespace kiln::mutation
