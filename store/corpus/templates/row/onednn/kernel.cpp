// Data movement: oneDNN's own, on rows that lie one after the other. The primitives are made once per loaded plan.

inline void describe(State& state, Description& chosen, const Tensor& x, [[maybe_unused]] const Tensor& y) {
  const dnnl_memory_desc_t in = layout(x);
  if constexpr (kOperation == Operation::softmax) {
    dnnl_softmax_desc_t operation;
    check(dnnl_softmax_forward_desc_init(&operation, dnnl_forward_inference, &in, 1));
    state.describe(chosen, &operation);
  } else if constexpr (kOperation == Operation::log_softmax) {
    dnnl_logsoftmax_desc_t operation;
    check(dnnl_logsoftmax_forward_desc_init(&operation, dnnl_forward_inference, &in, 1));
    state.describe(chosen, &operation);
  } else if constexpr (kOperation == Operation::layer_norm) {
    constexpr unsigned flags = kShift.rank > 0 ? dnnl_use_scale | dnnl_use_shift : dnnl_use_scale;
    dnnl_layer_normalization_desc_t operation;
    check(
        dnnl_layer_normalization_forward_desc_init(&operation, dnnl_forward_inference, &in, nullptr, kEpsilon, flags));
    state.describe(chosen, &operation);
  } else {
    const dnnl_memory_desc_t out = layout(y);
    dnnl_reduction_desc_t operation;
    check(dnnl_reduction_desc_init(&operation, kReduction, &in, &out, 0.0f, 0.0f));
    state.describe(chosen, &operation);
  }
}

inline void add_parts(State& state) {
  for (std::int64_t i = 0; i < kTasks; ++i) {
    const Range rows = part_of(kX.dims[0], 1, kTasks, i);
    if (rows.count == 0) continue;
    const Tensor x = cut(kX, 0, rows), y = cut(kY, 0, rows);
    Description chosen;
    describe(state, chosen, x, y);
    Part& part = state.add(chosen);
    state.bind(part, DNNL_ARG_SRC, x);
    state.bind(part, DNNL_ARG_DST, y);
    if (kOperation != Operation::layer_norm) continue;
    state.bind(part, DNNL_ARG_SCALE, kScale);
    if (kShift.rank > 0) state.bind(part, DNNL_ARG_SHIFT, kShift);
  }
}
