// How a direct convolution lays out one channel of x so that every tap of its window is one offset: padded with zeros,
// and taken apart by the stride into phases, in each of which neighbours along the innermost dimension are neighbours
// in memory.
//
// A transposed convolution of stride s is s convolutions of stride 1 per dimension, one for each remainder of the
// result's index by s, over the same x: result o takes tap k from element (o + before - k dilation) / s of x, where
// that is whole (Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016). No product with an
// inserted zero is made.
//
// Position q of phase p of the results takes a tap from  tap.input + flat(q),  where flat() is row-major over the
// pitches, and gives result  q * out_phases + p  of each dimension, if there is one. flat(q) runs over `positions`
// values; those whose index along an inner dimension is beyond `extents` are computed and not kept.
//
// Folded, the taps along the innermost dimension count as channels instead: tap t of channel c is a channel whose line
// begins t dilations later, and the window that is left has one element along that dimension.
#pragma once

#include <algorithm>
#include <limits>

#include "agents/region/kernel.h"

namespace kiln::agents {

struct PaddedLayout {
  struct Tap {
    std::int64_t input = 0;   // offset in a padded channel
    std::int64_t window = 0;  // index into `window`, row-major
  };

  explicit PaddedLayout(const ConvolutionKernel& k, bool fold = false) : PaddedLayout(k, ConvolutionPhases(k), fold) {}

  graph::Shape window;   // the kernel's; folded: 1 along the innermost dimension
  graph::Shape strides;  // of the window over the padded input
  graph::Shape before;   // zeros before the first element of x; negative when some of x is cut off
  graph::Shape phases, pitches;
  graph::Shape out_phases, extents;  // of the results: 1 and their own extents unless transposed
  std::int64_t plane = 1;      // elements of one phase
  std::int64_t channel = 1;    // elements of all phases
  std::int64_t positions = 1;  // from the first to the last of a phase of the results
  std::vector<Tap> taps;       // by phase of the results
  // Rows of positions along the innermost dimension.
  [[nodiscard]] std::int64_t lines() const {
    return pitches.empty() ? 0 : (positions + pitches.back() - 1) / pitches.back();
  }
  graph::Shape phase_begin;    // the first tap of each phase, row-major, and the end

 private:
  PaddedLayout(const ConvolutionKernel& k, const ConvolutionPhases& results, bool fold)
      : window(k.window), out_phases(results.count), extents(results.out) {
    if (fold && !window.empty()) window.back() = 1;
    for (std::size_t d = 0; d < k.out.size(); ++d) add_dimension(k, d);
    plane = graph::element_count(pitches);
    channel = plane * graph::element_count(phases);
    positions = graph::element_count(k.out) == 0 ? 0 : 1;
    std::int64_t below = plane;
    for (std::size_t d = 0; positions > 0 && d < pitches.size(); ++d) {
      below /= pitches[d];
      positions += (extents[d] - 1) * below;
    }
    for (std::int64_t p = 0; p < graph::element_count(out_phases); ++p) {
      phase_begin.push_back(static_cast<std::int64_t>(taps.size()));
      for (std::int64_t t = 0; t < graph::element_count(window); ++t) add_tap(k, p, t);
    }
    phase_begin.push_back(static_cast<std::int64_t>(taps.size()));
  }

  void add_dimension(const ConvolutionKernel& k, std::size_t d) {
    const std::int64_t stride = k.steps.strides[d], dilation = k.steps.dilations[d];
    strides.push_back(k.transposed ? 1 : stride);
    if (!k.transposed) {
      std::int64_t most = 0;
      for (std::int64_t t = 0; t < window[d]; ++t) most = std::max(most, t * dilation % stride);
      phases.push_back(most + 1);
      before.push_back(k.steps.before[d]);
      pitches.push_back(extents[d] + (window[d] - 1) * dilation / stride);
      return;
    }
    std::int64_t least = std::numeric_limits<std::int64_t>::max(), most = std::numeric_limits<std::int64_t>::min();
    for (std::int64_t p = 0; p < stride; ++p)
      for (std::int64_t t = 0; t < window[d]; ++t) {
        const std::int64_t reach = p + k.steps.before[d] - t * dilation;
        if (reach % stride != 0) continue;
        least = std::min(least, reach / stride);
        most = std::max(most, reach / stride);
      }
    phases.push_back(1);
    before.push_back(-least);
    pitches.push_back(extents[d] + most - least);
  }

  // Tap t of the window, when it is one of phase p of the results.
  void add_tap(const ConvolutionKernel& k, std::int64_t p, std::int64_t t) {
    std::int64_t rest = t, phase = 0, shift = 0, phase_scale = 1, scale = 1;
    for (std::size_t d = pitches.size(); d-- > 0;) {
      const std::int64_t place = rest % window[d] * k.steps.dilations[d];
      const std::int64_t reach = p % out_phases[d] + k.steps.before[d] - place;
      rest /= window[d];
      p /= out_phases[d];
      if (k.transposed && reach % k.steps.strides[d] != 0) return;
      phase += place % strides[d] * phase_scale;
      shift += (k.transposed ? before[d] + reach / k.steps.strides[d] : place / strides[d]) * scale;
      phase_scale *= phases[d];
      scale *= pitches[d];
    }
    taps.push_back({phase * plane + shift, t});
  }
};

}  // namespace kiln::agents
