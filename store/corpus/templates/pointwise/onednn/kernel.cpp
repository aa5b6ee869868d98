// Data movement: oneDNN's own: operands read once, the result written once. The primitive is made once per loaded plan.

inline void describe(State& state) {
  if constexpr (kOperation == Operation::copy) {
    state.operation = reorder({state.cpu, description(kX), state.cpu, description(kY)});
  } else if constexpr (kOperation == Operation::eltwise) {
    state.operation = eltwise_forward({{prop_kind::forward_inference, kAlgorithm, description(kX), kAlpha, kBeta}, state.cpu});
  } else {
    state.operation = binary({{kAlgorithm, description(kX), description(kOther), description(kY)}, state.cpu});
    state.bind(DNNL_ARG_SRC_1, kOther);
  }
  state.bind(DNNL_ARG_SRC_0, kX);
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

