// How a direct convolution lays out one channel of x so that every tap of its window is one offset: padded with zeros,
// and taken apart by the stride into phases, in each of which neighbours along the innermost dimension are neighbours
// in memory. A transposed convolution is one of stride 1 over x with stride - 1 zeros between its elements and the
// window reversed (Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4).
//
// Element o of the result takes tap t from   phase[t] * plane + flat(o) + shift[t],   where flat() is row-major over
// the pitches. flat(o) runs over `positions` values; those whose index along an inner dimension is beyond the result's
// extent are computed and not kept.
#pragma once

#include <algorithm>

#include "agents/region/kernel.h"

namespace kiln::agents {

struct PaddedLayout {
  explicit PaddedLayout(const ConvolutionKernel& k) {
    const std::size_t rank = k.out.size();
    for (std::size_t d = 0; d < rank; ++d) {
      const std::int64_t dilation = k.steps.dilations[d], reach = (k.window[d] - 1) * dilation;
      strides.push_back(k.transposed ? 1 : k.steps.strides[d]);
      inserted.push_back(k.transposed ? k.steps.strides[d] : 1);
      before.push_back(k.transposed ? reach - k.steps.before[d] : k.steps.before[d]);
      std::int64_t most = 0;
      for (std::int64_t t = 0; t < k.window[d]; ++t) most = std::max(most, t * dilation % strides[d]);
      phases.push_back(most + 1);
      pitches.push_back(k.out[d] + reach / strides[d]);
    }
    plane = graph::element_count(pitches);
    channel = plane * graph::element_count(phases);
    positions = graph::element_count(k.out) == 0 ? 0 : 1;
    std::int64_t below = plane;
    for (std::size_t d = 0; positions > 0 && d < rank; ++d) {
      below /= pitches[d];
      positions += (k.out[d] - 1) * below;
    }
    for (std::int64_t t = 0; t < graph::element_count(k.window); ++t) {
      std::int64_t rest = t, phase = 0, shift = 0, phase_scale = 1, scale = 1;
      for (std::size_t d = rank; d-- > 0;) {
        const std::int64_t place = rest % k.window[d] * k.steps.dilations[d];
        rest /= k.window[d];
        phase += place % strides[d] * phase_scale;
        shift += place / strides[d] * scale;
        phase_scale *= phases[d];
        scale *= pitches[d];
      }
      taps.push_back(phase * plane + shift);
    }
  }

  graph::Shape strides;   // of the window over the padded input
  graph::Shape inserted;  // distance of x's elements in it
  graph::Shape before;    // zeros before the first of them; negative when some of x is cut off
  graph::Shape phases, pitches;
  std::int64_t plane = 1;      // elements of one phase
  std::int64_t channel = 1;    // elements of all phases
  std::int64_t positions = 1;  // from the first element of the result to the last
  std::vector<std::int64_t> taps;  // offset of each, row-major over the window
};

}  // namespace kiln::agents
