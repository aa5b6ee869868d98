// Data movement: oneDNN's own, on x and results as they lie in memory. The primitives are made once per loaded plan,
// one per task: images are shared out, or groups, or channels of the result when there is one image. Constant weights
// are reordered once, at the first call, into the layout that the primitive asks for.

// What one task computes: images, groups, and channels of the result within a group.
struct Box { Range images, groups, channels; };

constexpr std::int64_t kChannelGrain = 16;  // what oneDNN computes side by side

// May be empty.
inline Box box_of(std::int64_t task) {
  const std::int64_t n = kX.dims[0], m = kW.dims[1];
  Box box{{0, n}, {0, kGroups}, {0, m}};
  if (n > 1)
    box.images = part_of(n, 1, kTasks, task);
  else if (kGroups > 1)
    box.groups = part_of(kGroups, 1, kTasks, task);
  else
    box.channels = part_of(m, kChannelGrain, kTasks, task);
  return box;
}

// The images and channels of a tensor; dense, since channels are only cut when there is one image.
inline Tensor within(Tensor t, const Box& box, Range channels) {
  t = cut(cut(t, 0, box.images), 1, channels);
  t.strides[0] = t.dims[1] * t.strides[1];
  return t;
}

// Weights of some groups and channels; oneDNN has no dimension for a single group.
inline Tensor weights_of(const Box& box) {
  Tensor w = cut(cut(kW, 0, box.groups), 1, box.channels);
  if (kGroups > 1) return w;
  --w.rank;
  for (int d = 0; d < w.rank; ++d) {
    w.dims[d] = w.dims[d + 1];
    w.strides[d] = w.strides[d + 1];
  }
  return w;
}

inline void describe(State& state, Description& chosen, const Tensor& x, const Tensor& w, const Tensor& bias,
                     const Tensor& y) {
  const dnnl_memory_desc_t in = layout(x), packed = any_layout(w), added = layout(bias), out = layout(y);
  Steps steps;
  check(dnnl_post_ops_create(steps.out()));
  append_steps(steps.get(), nullptr);
  if constexpr (kTransposed) {
    dnnl_deconvolution_desc_t operation;
    check(dnnl_dilated_deconvolution_forward_desc_init(&operation, dnnl_forward_inference, dnnl_deconvolution_direct,
                                                       &in, &packed, &added, &out, kStrides, kDilations, kBefore,
                                                       kAfter));
    state.describe(chosen, &operation, steps.get());
  } else {
    dnnl_convolution_desc_t operation;
    check(dnnl_dilated_convolution_forward_desc_init(&operation, dnnl_forward_inference, dnnl_convolution_direct, &in,
                                                     &packed, &added, &out, kStrides, kDilations, kBefore, kAfter));
    state.describe(chosen, &operation, steps.get());
  }
}

inline void add_part(State& state, const Box& box) {
  const std::int64_t m = kW.dims[1], c = kW.dims[2];
  const Range in{box.groups.first * c, box.groups.count * c};
  const Range out{box.groups.first * m + box.channels.first,
                  kGroups > 1 ? box.groups.count * m : box.channels.count};
  const Tensor x = within(kX, box, in), y = within(kY, box, out), w = weights_of(box);
  const Tensor bias = kHasBias ? cut(kBias, 0, out) : kBias;
  Description chosen;
  describe(state, chosen, x, w, bias, y);
  Part& part = state.add(chosen);
  state.bind(part, DNNL_ARG_SRC, x);
  state.bind(part, DNNL_ARG_DST, y);
  if (kHasBias) state.bind(part, DNNL_ARG_BIAS, bias);
  state.bind_weights(part, chosen, w);
}

inline void add_parts(State& state) {
  for (std::int64_t i = 0; i < kTasks; ++i)
    if (const Box box = box_of(i); box.images.count > 0 && box.groups.count > 0 && box.channels.count > 0)
      add_part(state, box);
}
