// One step of a recurrent cell (ONNX operators RNN, GRU and LSTM, version 14), for one unit of one row of the batch:
// the products with the recurrent weights are the template's, what becomes of them is here. `Layer` says which cell it
// is: cell, gates, reset_after, input_forget, clip (0: none), Value, and activation<which>(x).
enum class Cell { rnn, gru, lstm };

// What a step adds to the products: the projection of x, and what is the same in every step.
template <class Layer>
struct Added {
  typename Layer::Value x[Layer::gates], bias[Layer::gates], peepholes[3];
};

template <class Layer, int which>
KILN_DEVICE typename Layer::Value activated(typename Layer::Value x) {
  using Value = typename Layer::Value;
  if constexpr (Layer::clip > 0) x = op_min(op_max(x, Value(-Layer::clip)), Value(Layer::clip));
  return Layer::template activation<which>(x);
}

template <class Layer, int index, int which>
KILN_DEVICE typename Layer::Value gate(typename Layer::Value product, const Added<Layer>& added,
                                       typename Layer::Value through_peephole = 0) {
  return activated<Layer, which>(added.x[index] + product + added.bias[index] + through_peephole);
}

// Whether a step needs a second product: of what the first one's gates leave of the state.
template <class Layer>
constexpr bool resets_before = Layer::cell == Cell::gru && !Layer::reset_after;
// Gates of the first product.
template <class Layer>
constexpr int first_gates = resets_before<Layer> ? 2 : Layer::gates;

// The new state from all products.
template <class Layer>
KILN_DEVICE void step(const typename Layer::Value (&products)[Layer::gates], const Added<Layer>& added,
                      typename Layer::Value& h, typename Layer::Value& c) {
  using Value = typename Layer::Value;
  if constexpr (Layer::cell == Cell::rnn) {
    h = gate<Layer, 0, 0>(products[0], added);
  } else if constexpr (Layer::cell == Cell::gru) {
    const Value update = gate<Layer, 0, 0>(products[0], added), reset = gate<Layer, 1, 0>(products[1], added);
    const Value fresh = activated<Layer, 1>(added.x[2] + reset * (products[2] + added.bias[2]));
    h = (Value(1) - update) * fresh + update * h;
  } else {
    const Value in = gate<Layer, 0, 0>(products[0], added, added.peepholes[0] * c);
    const Value fresh = gate<Layer, 3, 1>(products[3], added);
    Value forget = Value(1) - in;
    if constexpr (!Layer::input_forget) forget = gate<Layer, 2, 0>(products[2], added, added.peepholes[2] * c);
    c = forget * c + in * fresh;
    const Value out = gate<Layer, 1, 0>(products[1], added, added.peepholes[1] * c);
    h = Layer::template activation<2>(c) * out;
  }
}

// The same of a cell that resets before its second product: `update`, and the state that this is of; then the new one.
template <class Layer>
KILN_DEVICE typename Layer::Value reset_state(const typename Layer::Value (&products)[first_gates<Layer>],
                                              const Added<Layer>& added, typename Layer::Value h,
                                              typename Layer::Value& update) {
  update = gate<Layer, 0, 0>(products[0], added);
  return gate<Layer, 1, 0>(products[1], added) * h;
}
template <class Layer>
KILN_DEVICE void step_after_reset(const typename Layer::Value (&product)[1], const Added<Layer>& added,
                                  typename Layer::Value update, typename Layer::Value& h) {
  using Value = typename Layer::Value;
  h = (Value(1) - update) * gate<Layer, 2, 1>(product[0], added) + update * h;
}

// Sums over the lanes of a warp, of one value for each of `rows`: a lane gets that of row lane / (32 / rows).
// Each half of the lanes keeps one half of the rows and gives the other away, while there are several.
template <int rows, int mask = 16, class T, int all>
KILN_DEVICE T sum_of_row(T (&x)[all], int lane) {
  if constexpr (mask == 0) {
    return x[0];
  } else if constexpr (rows == 1) {
    x[0] += shuffle(x[0], static_cast<u32>(mask));
    return sum_of_row<1, mask / 2>(x, lane);
  } else {
    constexpr int half = rows / 2;
    const bool upper = (lane & mask) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const T given = upper ? x[i] : x[i + half];
      x[i] = (upper ? x[i + half] : x[i]) + shuffle(given, static_cast<u32>(mask));
    }
    return sum_of_row<half, mask / 2>(x, lane);
  }
}

// sums[g][r] += weights of gate g by the state of row r, over `vector` neighbours of both.
template <int gates, int rows, int vector, class Value, class Memory>
KILN_DEVICE void add_products(Value (&sums)[gates][rows], const Pack<Memory, vector> (&weights)[gates],
                              const Value* states, int pitch) {
#pragma unroll
  for (int r = 0; r < rows; ++r) {
    const Pack<Value, vector> state = *reinterpret_cast<const Pack<Value, vector>*>(states + r * pitch);
#pragma unroll
    for (int g = 0; g < gates; ++g)
#pragma unroll
      for (int e = 0; e < vector; ++e) sums[g][r] += static_cast<Value>(value_of(weights[g].at[e])) * state.at[e];
  }
}

// Of a row of the batch: how many steps it has, and the one of x and of the results that its step `t` is.
KILN_DEVICE int steps_of(i64 length, int steps) {
  return length < 0 ? 0 : length < steps ? static_cast<int>(length) : steps;
}
template <bool reverse>
KILN_DEVICE int place_of_step(int t, int length) {
  return reverse && t < length ? length - 1 - t : t;
}
