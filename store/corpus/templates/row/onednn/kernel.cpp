// Data movement: oneDNN's own, on rows that lie one after the other. The primitive is made once per loaded plan.

inline void describe(State& state) {
  if constexpr (kOperation == Operation::softmax) {
    state.operation = softmax_forward({{prop_kind::forward_inference, description(kX), 1}, state.cpu});
  } else if constexpr (kOperation == Operation::log_softmax) {
    state.operation = logsoftmax_forward({{prop_kind::forward_inference, description(kX), 1}, state.cpu});
  } else if constexpr (kOperation == Operation::layer_norm) {
    auto flags = normalization_flags::use_scale;
    if (!kShift.dims.empty()) flags = flags | normalization_flags::use_shift;
    state.operation = layer_normalization_forward({{prop_kind::forward_inference, description(kX), kEpsilon, flags}, state.cpu});
    state.bind(DNNL_ARG_SCALE, kScale);
    if (!kShift.dims.empty()) state.bind(DNNL_ARG_SHIFT, kShift);
  } else {
    state.operation = reduction({{kReduction, description(kX), description(kY), 0.0f, 0.0f}, state.cpu});
  }
  state.bind(DNNL_ARG_SRC, kX);
  state.bind(DNNL_ARG_DST, kY);
}

}  // namespace

extern "C" void* KILN_CREATE(std::int32_t threads) {
  try {
    auto state = std::make_unique<State>(threads);
    describe(*state);
    return state.release();
  } catch (...) {
    return nullptr;
  }
}

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  State& state = *static_cast<State*>(task->state);
  const std::lock_guard<std::mutex> lock(state.one_call);
  omp_set_num_threads(state.threads);
  state.run(args);
}

extern "C" void KILN_DESTROY(void* state) { delete static_cast<State*>(state); }

