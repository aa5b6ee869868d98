// What is added to the scores of an attention: masks one after the other, with reshapes between them that split and
// merge batch dimensions (Swin's shifted windows). Private to agents/graph/rewrite.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {

// One shape of [batch..., S, T] on the way from the product to the softmax, and what is added there.
struct MaskLevel {
  Shape shape;
  ValueId mask = -1;  // broadcasts to it, or -1
};

struct MaskedScores {
  ValueId product = -1;           // what the masks are added to
  std::vector<MaskLevel> levels;  // from the softmax's shape to the product's
};

// Follows additions and reshapes back from `id`; `is_product` says where they end. nullopt when they end elsewhere, or
// a reshape touches the last two dimensions.
using IsProduct = std::function<bool(ValueId)>;
[[nodiscard]] std::optional<MaskedScores> masked_scores(const Sweep& pass, ValueId id, const IsProduct& is_product);

// The batch dimensions in which those of every level can be written: each extent of a level is a product of
// neighbours, and ones are gone where levels differ. nullopt when there are none: 6 x 4 and 4 x 6.
[[nodiscard]] std::optional<Shape> common_batch(const std::vector<MaskLevel>& levels);

// A value that broadcasts to [of..., rows, columns] under the batch dimensions `batch`, into which those of `of` split:
// where it broadcasts over one of them, over all that it splits into. The value itself when nothing changes.
[[nodiscard]] ValueId in_batch(Sweep& pass, ValueId value, const Shape& of, const Shape& batch,
                               const std::string& origin);

// The sum of constants that broadcast to each other, each element summed in double precision and rounded once.
// nullopt when an element is no number, or infinite though no constant is so there, and when it would have more than
// kMostMaskElements.
constexpr std::int64_t kMostMaskElements = 1 << 24;
[[nodiscard]] std::optional<ValueId> sum_of_masks(Sweep& pass, const std::vector<ValueId>& masks);

}  // namespace kiln::graph::rewrite
