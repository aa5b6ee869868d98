// Data movement: per step and row of the batch the recurrent weights are read once, from cache when they fit; states
// and gates stay in the first level. A task is one row of the batch through all steps, since a step needs all of the
// one before; with few rows most cores have nothing to do. The floor is 2 steps batch gates hidden^2 / peak, or the
// weights from cache once per step and row.

constexpr std::int64_t kGates = kCell == Cell::rnn ? 1 : kCell == Cell::gru ? 3 : 4;
constexpr std::int64_t kPadded = (kHidden + kLanes - 1) / kLanes * kLanes;

struct State {
  float *h, *c, *gates, *inner,
      *reset;  // gates: kGates of kPadded each; the padding holds zeros or what follows from them
};

// out[j] = sum over i of w[j, i] h[i], j from 0 to kHidden.
inline void multiply(const float* w, const float* h, float* out) {
  constexpr int tail = static_cast<int>(kHidden % kLanes);
  for (std::int64_t j = 0; j < kHidden; ++j) {
    const float* row = w + j * kHidden;
    vf sum[2] = {};
    std::int64_t i = 0;
    for (; i + 2 * kLanes <= kHidden; i += 2 * kLanes) {
      sum[0] += load<kLanes>(row + i) * load<kLanes>(h + i);
      sum[1] += load<kLanes>(row + i + kLanes) * load<kLanes>(h + i + kLanes);
    }
    if (i + kLanes <= kHidden) {
      sum[0] += load<kLanes>(row + i) * load<kLanes>(h + i);
      i += kLanes;
    }
    if constexpr (tail != 0) sum[1] += load<tail>(row + i) * load<tail>(h + i);
    const vf both = sum[0] + sum[1];
    float total = 0;
    for (int lane = 0; lane < kLanes; ++lane) total += both[lane];
    out[j] = total;
  }
}

template <int which>
inline void activate(float* x) {
  for (std::int64_t j = 0; j < kPadded; j += kLanes) {
    vf value = load<kLanes>(x + j);
    if constexpr (kClip > 0) value = vmin(vmax(value, splat(-kClip)), splat(kClip));
    store<kLanes>(x + j, activation<which>(value));
  }
}

// Gate `index`: the projection of x, the product and its bias, and the cell through a peephole.
inline void add_inputs(void* const* args, const State& s, std::int64_t index, const float* x, const float* cell,
                       std::int64_t peephole) {
  float* gate = s.gates + index * kPadded;
  for (std::int64_t j = 0; j < kHidden; ++j) {
    gate[j] += x[index * kHidden + j] + bias(args)[index * kHidden + j];
    if (cell) gate[j] += peepholes(args)[peephole * kHidden + j] * cell[j];
  }
}

inline void step(void* const* args, const State& s, const float* x) {
  const std::int64_t products = kCell == Cell::gru && !kResetAfter ? 2 : kGates;
  for (std::int64_t g = 0; g < products; ++g)
    multiply(weights(args) + g * kHidden * kHidden, s.h, s.gates + g * kPadded);
  if constexpr (kCell == Cell::rnn) {
    add_inputs(args, s, 0, x, nullptr, 0);
    activate<0>(s.gates);
    for (std::int64_t j = 0; j < kHidden; ++j) s.h[j] = s.gates[j];
  } else if constexpr (kCell == Cell::gru) {
    float *update = s.gates, *reset = s.gates + kPadded, *again = s.gates + 2 * kPadded;
    for (std::int64_t g = 0; g < 2; ++g) add_inputs(args, s, g, x, nullptr, 0);
    activate<0>(update);
    activate<0>(reset);
    if constexpr (kResetAfter) {
      for (std::int64_t j = 0; j < kHidden; ++j)
        s.inner[j] = x[2 * kHidden + j] + reset[j] * (again[j] + bias(args)[2 * kHidden + j]);
    } else {
      for (std::int64_t j = 0; j < kHidden; ++j) s.reset[j] = reset[j] * s.h[j];
      multiply(weights(args) + 2 * kHidden * kHidden, s.reset, again);
      for (std::int64_t j = 0; j < kHidden; ++j)
        s.inner[j] = x[2 * kHidden + j] + again[j] + bias(args)[2 * kHidden + j];
    }
    activate<1>(s.inner);
    for (std::int64_t j = 0; j < kHidden; ++j) s.h[j] = (1.0f - update[j]) * s.inner[j] + update[j] * s.h[j];
  } else {
    float *in = s.gates, *out = s.gates + kPadded, *forget = s.gates + 2 * kPadded, *fresh = s.gates + 3 * kPadded;
    add_inputs(args, s, 0, x, s.c, 0);
    add_inputs(args, s, 3, x, nullptr, 0);
    activate<0>(in);
    activate<1>(fresh);
    if constexpr (kInputForget) {
      for (std::int64_t j = 0; j < kHidden; ++j) forget[j] = 1.0f - in[j];
    } else {
      add_inputs(args, s, 2, x, s.c, 2);
      activate<0>(forget);
    }
    for (std::int64_t j = 0; j < kHidden; ++j) s.c[j] = forget[j] * s.c[j] + in[j] * fresh[j];
    add_inputs(args, s, 1, x, s.c, 1);
    activate<0>(out);
    for (std::int64_t j = 0; j < kPadded; j += kLanes)
      store<kLanes>(s.inner + j, activation<2>(load<kLanes>(s.c + j)));
    for (std::int64_t j = 0; j < kHidden; ++j) s.h[j] = s.inner[j] * out[j];
  }
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const std::int64_t row = task->index;
  auto* memory = static_cast<float*>(task->scratch);
  for (std::int64_t i = 0; i < (kGates + 4) * kPadded; ++i) memory[i] = 0.0f;
  const State s{memory, memory + kPadded, memory + 4 * kPadded, memory + 2 * kPadded, memory + 3 * kPadded};
  for (std::int64_t j = 0; j < kHidden; ++j) {
    s.h[j] = first_hidden(args)[row * kHidden + j];
    if constexpr (kCell == Cell::lstm) s.c[j] = first_cell(args)[row * kHidden + j];
  }
  const std::int64_t given = lengths(args)[row];
  const std::int64_t length = given < 0 ? 0 : given < kSteps ? given : kSteps;
  for (std::int64_t t = 0; t < kSteps; ++t) {
    const std::int64_t place = t < length && kReverse ? length - 1 - t : t;
    if (t < length) step(args, s, projected(args) + (place * kBatch + row) * kGates * kHidden);
    if constexpr (kHasAll)
      for (std::int64_t j = 0; j < kHidden; ++j)
        all_hidden(args)[(place * kBatch + row) * kHidden + j] = t < length ? s.h[j] : 0.0f;
  }
  for (std::int64_t j = 0; j < kHidden; ++j) {
    if constexpr (kHasLast) last_hidden(args)[row * kHidden + j] = s.h[j];
    if constexpr (kHasCell) last_cell(args)[row * kHidden + j] = s.c[j];
  }
}
