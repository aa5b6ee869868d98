// Data movement: x is copied once into a padded form in which every tap of the window is one offset and neighbours
// along the innermost dimension lie side by side (the launch before this one); then vectors of neighbouring results are
// sums over channels and taps, kept in registers for kMr channels of the result, so that each vector of x is used kMr
// times and each weight kNv times. w is read in place. The floor is 2 m c taps results / peak; results at the end of a
// padded row are computed and thrown away, and few channels of the result reuse little of x. Depthwise (one channel per
// group) is limited by loads from the first level of cache. A transposed convolution is one of stride 1 for each phase
// of its results; phases along the innermost dimension are computed one after the other and then joined.
// 16-bit floats are widened to float32 in the padded copy, narrow integers to i32.

struct Plain {
  static constexpr std::int64_t kDepth = 1, kApart = kWM;
  using Weights = const ElementW*;
  static Weights of_group(void* const* args, std::int64_t group) { return weights(args, group); }
  static const ElementW* at(Weights w, std::int64_t c, std::int64_t tap) { return w + c * kWC + kTapWeight[tap]; }
  static Sums first(Weights, std::int64_t, std::int64_t) { return Sums{}; }
  static Sums add(Sums sum, Sums weight, Sums x) { return sum + weight * x; }
};

}  // namespace

extern "C" void KILN_PACK(void* const* args, const kiln_task* task) {
  const std::int64_t c = task->index % kC, group = task->index / kC % kGroups, image = task->index / (kC * kGroups);
  pad_channel(channel_of_x(args, image, group, c), padded_to(args) + task->index * kChannel);
}

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) { DirectConvolution<Plain>::run(args, task); }
