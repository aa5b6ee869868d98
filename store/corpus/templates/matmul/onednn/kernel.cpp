// Data movement: oneDNN's own. The primitives are made once per loaded plan. Constant weights are reordered once, at
// the first call, into the layout that the primitive asks for (format any), and that copy is used ever after: their
// address and content do not change while a plan is loaded. Bias and epilogue are the primitive's bias and
// post-operations.

// What one task computes: a range of matrices, rows and columns.
struct Box { Range batch, rows, columns; };

constexpr std::int64_t kRowGrain = 4, kColumnGrain = 16;
constexpr std::int64_t kEnoughRows = 16;  // of a part, to use a weight often enough for what it costs to come
constexpr int kRank = kC.rank;

// How many of `parts` cut the rows, the others cutting the columns. All of them, where each then has rows enough: parts
// of columns are not dense, for which oneDNN has only its older kernels; these are no faster, and allocate 72 KiB a
// thread in each call. Else so that the least is read twice.
inline std::int64_t parts_of_rows(std::int64_t parts) {
  const std::int64_t m = kC.dims[kRank - 2], n = kC.dims[kRank - 1];
  if (m >= parts * kEnoughRows) return parts;
  const auto read = [&](std::int64_t down) { return (m + down - 1) / down + (n + parts / down - 1) / (parts / down); };
  std::int64_t best = 1;
  for (std::int64_t down = 1; down <= parts; ++down)
    if (parts % down == 0 && read(down) < read(best)) best = down;
  return best;
}

// Matrices are shared out first; what then is left of the tasks cuts rows and columns. May be empty.
inline Box box_of(std::int64_t task) {
  const std::int64_t matrices = kBatchDimension < kRank ? kC.dims[kBatchDimension] : 1;
  const std::int64_t batches = matrices >= kTasks ? kTasks : 1, parts = kTasks / batches;
  if (task >= batches * parts) return {};
  const std::int64_t down = parts_of_rows(parts), across = parts / down, within = task % parts;
  return {part_of(matrices, 1, batches, task / parts), part_of(kC.dims[kRank - 2], kRowGrain, down, within / across),
          part_of(kC.dims[kRank - 1], kColumnGrain, across, within % across)};
}

inline Tensor within(Tensor t, const Box& box, bool rows, bool columns) {
  if (t.rank == 0) return t;
  if (kBatchDimension < kRank) t = cut(t, kBatchDimension, box.batch);
  if (rows) t = cut(t, kRank - 2, box.rows);
  return columns ? cut(t, kRank - 1, box.columns) : t;
}

inline void add_part(State& state, const Box& box) {
  const Tensor a = within(kA, box, true, false), b = within(kB, box, false, true);
  const Tensor bias = within(kBias, box, true, true), c = within(kC, box, true, true);
  Tensor operands[kOperandCount + 1];  // one more: C++ has no empty array
  for (int i = 0; i < kOperandCount; ++i) operands[i] = within(kOperands[i], box, true, true);
  Steps steps;
  check(dnnl_post_ops_create(steps.out()));
  append_steps(steps.get(), operands);
  // Weights may take the library's layout; what changes with each call keeps its own.
  const dnnl_memory_desc_t left = layout(a), right = kBIsWeight ? any_layout(b) : layout(b), added = layout(bias),
                           out = layout(c);
  dnnl_matmul_desc_t operation;
  check(dnnl_matmul_desc_init(&operation, &left, &right, &added, &out));
  Description chosen;
  state.describe(chosen, &operation, steps.get());
  Part& part = state.add(chosen);
  state.bind(part, DNNL_ARG_SRC, a);
  state.bind(part, DNNL_ARG_DST, c);
  if (kHasBias) state.bind(part, DNNL_ARG_BIAS, bias);
  for (int i = 0; i < kOperandCount; ++i)
    state.bind(part, DNNL_ARG_ATTR_MULTIPLE_POST_OP(kOperandSteps[i]) | DNNL_ARG_SRC_1, operands[i]);
  state.bind_weights(part, chosen, b);
}

inline void add_parts(State& state) {
  for (std::int64_t i = 0; i < kTasks; ++i)
    if (const Box box = box_of(i); box.batch.count > 0 && box.rows.count > 0 && box.columns.count > 0)
      add_part(state, box);
}
