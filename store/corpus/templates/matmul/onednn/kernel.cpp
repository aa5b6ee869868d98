// Data movement: oneDNN's own. The primitive is made once per loaded plan. Constant weights are reordered once, at the first
// call, into the layout that the primitive asks for (format any), and that copy is used ever after: their address and
// content do not change while a plan is loaded. Bias and epilogue are the primitive's bias and post-operations.

inline matmul::primitive_desc describe(const engine& cpu) {
  // Weights may take the library's layout; what changes with each call keeps its own.
  const memory::desc b = kBIsWeight ? memory::desc(kB.dims, memory::data_type::f32, memory::format_tag::any) : description(kB);
  post_ops steps;
  append_steps(steps);
  primitive_attr attributes;
  attributes.set_post_ops(steps);
  const auto plan = kHasBias ? matmul::desc(description(kA), b, description(kBias), description(kC))
                             : matmul::desc(description(kA), b, description(kC));
  return {plan, attributes, cpu};
}

inline void bind_arguments(State& state, const matmul::primitive_desc& primitive) {
  state.operation = matmul(primitive);
  state.bind(DNNL_ARG_SRC, kA);
  state.bind(DNNL_ARG_DST, kC);
  if (kHasBias) state.bind(DNNL_ARG_BIAS, kBias);
  for (std::size_t i = 0; i < kOperands.size(); ++i)
    state.bind(DNNL_ARG_ATTR_MULTIPLE_POST_OP(kOperandSteps[i]) | DNNL_ARG_SRC_1, kOperands[i]);
  if (primitive.weights_desc() == description(kB)) {
    state.bind(DNNL_ARG_WEIGHTS, kB);
  } else {
    state.packed = memory(primitive.weights_desc(), state.cpu);
    state.memories[DNNL_ARG_WEIGHTS] = state.packed;
  }
}

}  // namespace

extern "C" void* KILN_CREATE(std::int32_t threads) {
  try {
    auto state = std::make_unique<State>(threads);
    bind_arguments(*state, describe(state->cpu));
    return state.release();
  } catch (...) {
    return nullptr;
  }
}

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  State& state = *static_cast<State*>(task->state);
  const std::lock_guard<std::mutex> lock(state.one_call);
  omp_set_num_threads(state.threads);
  if (state.packed && !state.is_packed) {
    memory plain(description(kB), state.cpu, address(args, kB));
    reorder(plain, state.packed).execute(state.queue, plain, state.packed);
    state.queue.wait();
    state.is_packed = true;
  }
  state.run(args);
}

extern "C" void KILN_DESTROY(void* state) { delete static_cast<State*>(state); }

