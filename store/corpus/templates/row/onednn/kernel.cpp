// Data movement: oneDNN's own, on rows that lie one after the other. The primitives are made once per loaded plan.

inline void add_part(State& state, Range rows) {
  const Tensor x = cut(kX, 0, rows), y = cut(kY, 0, rows);
  const primitive_attr attributes = own_scratchpad();
  Part* added = nullptr;
  if constexpr (kOperation == Operation::softmax) {
    added = &state.add(
        softmax_forward::primitive_desc({prop_kind::forward_inference, description(x), 1}, attributes, state.cpu));
  } else if constexpr (kOperation == Operation::log_softmax) {
    added = &state.add(
        logsoftmax_forward::primitive_desc({prop_kind::forward_inference, description(x), 1}, attributes, state.cpu));
  } else if constexpr (kOperation == Operation::layer_norm) {
    auto flags = normalization_flags::use_scale;
    if (!kShift.dims.empty()) flags = flags | normalization_flags::use_shift;
    added = &state.add(layer_normalization_forward::primitive_desc(
        {prop_kind::forward_inference, description(x), kEpsilon, flags}, attributes, state.cpu));
  } else {
    added = &state.add(
        reduction::primitive_desc({kReduction, description(x), description(y), 0.0f, 0.0f}, attributes, state.cpu));
  }
  Part& part = *added;
  state.bind(part, DNNL_ARG_SRC, x);
  state.bind(part, DNNL_ARG_DST, y);
  if (kOperation != Operation::layer_norm) return;
  state.bind(part, DNNL_ARG_SCALE, kScale);
  if (!kShift.dims.empty()) state.bind(part, DNNL_ARG_SHIFT, kShift);
}

inline void add_parts(State& state) {
  for (std::int64_t i = 0; i < kTasks; ++i)
    if (const Range rows = part_of(kX.dims[0], 1, kTasks, i); rows.count > 0) add_part(state, rows);
}

}  // namespace

extern "C" void* KILN_CREATE(std::int32_t) {
  try {
    const OneThread alone;
    auto state = std::make_unique<State>();
    add_parts(*state);
    return state.release();
  } catch (...) {
    return nullptr;
  }
}

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  static_cast<State*>(task->state)->run(task->index, args);
}

extern "C" void KILN_DESTROY(void* state) { delete static_cast<State*>(state); }
