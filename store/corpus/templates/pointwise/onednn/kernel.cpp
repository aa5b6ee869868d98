// Data movement: oneDNN's own: operands read once, the result written once. The primitives are made once per loaded
// plan.

inline void add_part(State& state, std::size_t dimension, Range range) {
  const Tensor x = cut(kX, dimension, range), y = cut(kY, dimension, range), other = cut(kOther, dimension, range);
  const primitive_attr attributes = own_scratchpad();
  Part* added = nullptr;
  if constexpr (kOperation == Operation::copy) {
    added = &state.add(reorder::primitive_desc(state.cpu, description(x), state.cpu, description(y), attributes));
  } else if constexpr (kOperation == Operation::eltwise) {
    added = &state.add(eltwise_forward::primitive_desc(
        {prop_kind::forward_inference, kAlgorithm, description(x), kAlpha, kBeta}, attributes, state.cpu));
  } else {
    added = &state.add(binary::primitive_desc({kAlgorithm, description(x), description(other), description(y)},
                                              attributes, state.cpu));
  }
  Part& part = *added;
  if (kOperation == Operation::binary) state.bind(part, DNNL_ARG_SRC_1, other);
  state.bind(part, DNNL_ARG_SRC_0, x);
  state.bind(part, DNNL_ARG_DST, y);
}

// Along the outermost dimension that gives every task several steps, or else along the longest.
inline void add_parts(State& state) {
  const memory::dims& dims = kY.dims;
  auto at = std::find_if(dims.begin(), dims.end(), [](std::int64_t d) { return d >= 4 * kTasks; });
  if (at == dims.end()) at = std::max_element(dims.begin(), dims.end());
  for (std::int64_t i = 0; i < kTasks; ++i)
    if (const Range range = part_of(*at, 1, kTasks, i); range.count > 0)
      add_part(state, static_cast<std::size_t>(at - dims.begin()), range);
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
