// Data movement: oneDNN's own, on x and results as they lie in memory. The primitives are made once per loaded plan,
// one per task: images are shared out, or groups, or channels of the result when there is one image. Constant weights
// are reordered once, at the first call, into the layout that the primitive asks for.

// What one task computes: images, groups, and channels of the result within a group.
struct Box { Range images, groups, channels; };

constexpr std::int64_t kChannelGrain = 16;  // what oneDNN computes side by side

inline std::vector<Box> boxes() {
  const std::int64_t n = kX.dims[0], m = kW.dims[1];
  std::vector<Box> out;
  for (std::int64_t i = 0; i < kTasks; ++i) {
    Box box{{0, n}, {0, kGroups}, {0, m}};
    if (n > 1) box.images = part_of(n, 1, kTasks, i);
    else if (kGroups > 1) box.groups = part_of(kGroups, 1, kTasks, i);
    else box.channels = part_of(m, kChannelGrain, kTasks, i);
    if (box.images.count > 0 && box.groups.count > 0 && box.channels.count > 0) out.push_back(box);
  }
  return out;
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
  w.dims.erase(w.dims.begin());
  w.strides.erase(w.strides.begin());
  return w;
}

template <class Description>
inline void add_primitive(State& state, const Description& chosen, const Tensor& x, const Tensor& w, const Tensor& bias,
                          const Tensor& y) {
  Part& part = state.add(chosen);
  state.bind(part, DNNL_ARG_SRC, x);
  state.bind(part, DNNL_ARG_DST, y);
  if (kHasBias) state.bind(part, DNNL_ARG_BIAS, bias);
  if (chosen.weights_desc() == description(w)) state.bind(part, DNNL_ARG_WEIGHTS, w);
  else state.pack(part, w, chosen.weights_desc());
}

inline void add_part(State& state, const Box& box) {
  const std::int64_t m = kW.dims[1], c = kW.dims[2];
  const Range in{box.groups.first * c, box.groups.count * c};
  const Range out{box.groups.first * m + box.channels.first,
                  kGroups > 1 ? box.groups.count * m : box.channels.count};
  const Tensor x = within(kX, box, in), y = within(kY, box, out), w = weights_of(box);
  const Tensor bias = kHasBias ? cut(kBias, 0, out) : kBias;
  const memory::desc packed(w.dims, memory::data_type::f32, memory::format_tag::any);
  const memory::desc with = kHasBias ? description(bias) : memory::desc();
  post_ops steps;
  append_steps(steps, {});
  primitive_attr attributes = own_scratchpad();
  attributes.set_post_ops(steps);
  if constexpr (kTransposed)
    add_primitive(state, deconvolution_forward::primitive_desc(
                             {prop_kind::forward_inference, algorithm::deconvolution_direct, description(x), packed,
                              with, description(y), kStrides, kDilations, kBefore, kAfter},
                             attributes, state.cpu),
                  x, w, bias, y);
  else
    add_primitive(state, convolution_forward::primitive_desc(
                             {prop_kind::forward_inference, algorithm::convolution_direct, description(x), packed,
                              with, description(y), kStrides, kDilations, kBefore, kAfter},
                             attributes, state.cpu),
                  x, w, bias, y);
}

}  // namespace

extern "C" void* KILN_CREATE(std::int32_t) {
  try {
    const OneThread alone;
    auto state = std::make_unique<State>();
    for (const Box& box : boxes()) add_part(*state, box);
    return state.release();
  } catch (...) {
    return nullptr;
  }
}

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  static_cast<State*>(task->state)->run(task->index, args);
}

extern "C" void KILN_DESTROY(void* state) { delete static_cast<State*>(state); }
