// Data movement: oneDNN's own: operands read once, the result written once. The primitives are made once per loaded
// plan.

inline void describe(State& state, Description& chosen, const Tensor& x, [[maybe_unused]] const Tensor& other,
                     [[maybe_unused]] const Tensor& y) {
  const dnnl_memory_desc_t in = layout(x);
  if constexpr (kOperation == Operation::copy) {
    const dnnl_memory_desc_t out = layout(y);
    Attributes attributes;
    State::own_scratchpad(attributes);
    check(dnnl_reorder_primitive_desc_create(chosen.out(), &in, state.cpu.get(), &out, state.cpu.get(),
                                             attributes.get()));
  } else if constexpr (kOperation == Operation::eltwise) {
    dnnl_eltwise_desc_t operation;
    check(dnnl_eltwise_forward_desc_init(&operation, dnnl_forward_inference, kAlgorithm, &in, kAlpha, kBeta));
    state.describe(chosen, &operation);
  } else {
    const dnnl_memory_desc_t second = layout(other), out = layout(y);
    dnnl_binary_desc_t operation;
    check(dnnl_binary_desc_init(&operation, kAlgorithm, &in, &second, &out));
    state.describe(chosen, &operation);
  }
}

// The outermost dimension: its parts are dense, which oneDNN's fast code for operations asks for. A copy may be cut
// anywhere: the outermost that gives every task several steps, or else the longest.
inline int shared_dimension() {
  int longest = 0;
  for (int d = 0; d < kY.rank; ++d) {
    if (kOperation == Operation::copy ? kY.dims[d] >= 4 * kTasks : kY.dims[d] > 1) return d;
    if (kY.dims[d] > kY.dims[longest]) longest = d;
  }
  return longest;
}

inline void add_parts(State& state) {
  const int dimension = shared_dimension();
  for (std::int64_t i = 0; i < kTasks; ++i) {
    const Range range = part_of(kY.dims[dimension], 1, kTasks, i);
    if (range.count == 0) continue;
    const Tensor x = cut(kX, dimension, range), y = cut(kY, dimension, range), other = cut(kOther, dimension, range);
    Description chosen;
    describe(state, chosen, x, other, y);
    Part& part = state.add(chosen);
    if (kOperation == Operation::binary) state.bind(part, DNNL_ARG_SRC_1, other);
    state.bind(part, DNNL_ARG_SRC_0, x);
    state.bind(part, DNNL_ARG_DST, y);
  }
}
