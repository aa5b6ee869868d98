// Data movement: oneDNN's own. The primitives are made once per loaded plan. Constant weights are reordered once, at
// the first call, into the layout that the primitive asks for (format any), and that copy is used ever after: their
// address and content do not change while a plan is loaded. Bias and epilogue are the primitive's bias and
// post-operations.

// What one task computes: a range of matrices, rows and columns.
struct Box { Range batch, rows, columns; };

constexpr std::int64_t kRowGrain = 4, kColumnGrain = 16;

// Matrices are shared out first; what then is left of the tasks cuts rows and columns so that the least is read twice.
inline std::vector<Box> boxes() {
  const std::size_t rank = kC.dims.size();
  const std::int64_t m = kC.dims[rank - 2], n = kC.dims[rank - 1];
  const std::int64_t matrices = kBatchDimension < rank ? kC.dims[kBatchDimension] : 1;
  const std::int64_t batches = matrices >= kTasks ? kTasks : 1, left = kTasks / batches;
  std::int64_t down = 1;
  const auto read = [&](std::int64_t parts) {
    return (m + parts - 1) / parts + (n + left / parts - 1) / (left / parts);
  };
  for (std::int64_t parts = 1; parts <= left; ++parts)
    if (left % parts == 0 && read(parts) < read(down)) down = parts;
  std::vector<Box> out;
  for (std::int64_t i = 0; i < batches * left; ++i) {
    const std::int64_t across = left / down, within = i % left;
    const Box box{part_of(matrices, 1, batches, i / left), part_of(m, kRowGrain, down, within / across),
                  part_of(n, kColumnGrain, across, within % across)};
    if (box.batch.count > 0 && box.rows.count > 0 && box.columns.count > 0) out.push_back(box);
  }
  return out;
}

inline Tensor within(Tensor t, const Box& box, bool rows, bool columns) {
  if (t.dims.empty()) return t;
  const std::size_t rank = t.dims.size();
  if (kBatchDimension < rank) t = cut(t, kBatchDimension, box.batch);
  if (rows) t = cut(t, rank - 2, box.rows);
  return columns ? cut(t, rank - 1, box.columns) : t;
}

inline void add_part(State& state, const Box& box) {
  const Tensor a = within(kA, box, true, false), b = within(kB, box, false, true);
  const Tensor bias = within(kBias, box, true, true), c = within(kC, box, true, true);
  std::vector<Tensor> operands;
  for (const Tensor& t : kOperands) operands.push_back(within(t, box, true, true));
  // Weights may take the library's layout; what changes with each call keeps its own.
  const memory::desc weights =
      kBIsWeight ? memory::desc(b.dims, memory::data_type::f32, memory::format_tag::any) : description(b);
  post_ops steps;
  append_steps(steps, operands);
  primitive_attr attributes = own_scratchpad();
  attributes.set_post_ops(steps);
  const auto plan = kHasBias ? matmul::desc(description(a), weights, description(bias), description(c))
                             : matmul::desc(description(a), weights, description(c));
  const matmul::primitive_desc chosen(plan, attributes, state.cpu);
  Part& part = state.add(chosen);
  state.bind(part, DNNL_ARG_SRC, a);
  state.bind(part, DNNL_ARG_DST, c);
  if (kHasBias) state.bind(part, DNNL_ARG_BIAS, bias);
  for (std::size_t i = 0; i < operands.size(); ++i)
    state.bind(part, DNNL_ARG_ATTR_MULTIPLE_POST_OP(kOperandSteps[i]) | DNNL_ARG_SRC_1, operands[i]);
  if (chosen.weights_desc() == description(b)) state.bind(part, DNNL_ARG_WEIGHTS, b);
  else state.pack(part, b, chosen.weights_desc());
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
